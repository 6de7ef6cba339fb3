"""CLIP text encoders of a few thousand parameters."""

from __future__ import annotations

from typing import Any

import torch
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection


def clip_config(tokenizer: Any, dim: int, projection: int = 16, length: int = 77) -> CLIPTextConfig:
    """Three layers of width `dim`."""
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=dim,
        intermediate_size=2 * dim,
        num_hidden_layers=3,
        num_attention_heads=4,
        projection_dim=projection,
        max_position_embeddings=length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )


def clip(tokenizer: Any, dim: int) -> CLIPTextModel:
    """A CLIPTextModel."""
    return CLIPTextModel(clip_config(tokenizer, dim)).eval()


def projected_clip(
    tokenizer: Any, dim: int, projection: int = 16, length: int = 77
) -> CLIPTextModelWithProjection:
    """A CLIPTextModelWithProjection whose projected vector differs from text to text."""
    model = CLIPTextModelWithProjection(clip_config(tokenizer, dim, projection, length))
    torch.nn.init.normal_(model.text_projection.weight, std=0.5)
    return model.eval()
