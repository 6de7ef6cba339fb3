"""A Mochi pipeline of a few thousand parameters: a T5 encoder and a joint transformer."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, MochiPipeline, MochiTransformer3DModel
from families.t5_encoders import t5
from families.tokenizers import t5_tokenizer
from families.weights import fill_zeros

TEXT_DIM = 16


def mochi(seed: int = 0) -> Any:
    """A MochiPipeline."""
    torch.manual_seed(seed)
    tokenizer = t5_tokenizer()
    transformer = MochiTransformer3DModel(
        patch_size=2,
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=2,
        pooled_projection_dim=16,
        in_channels=12,
        text_embed_dim=TEXT_DIM,
        time_embed_dim=4,
        max_sequence_length=32,
    )
    fill_zeros(transformer)
    pipe = MochiPipeline(
        tokenizer=tokenizer,
        text_encoder=t5(tokenizer, TEXT_DIM),
        transformer=transformer.eval(),
        vae=None,
        scheduler=FlowMatchEulerDiscreteScheduler(),
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe
