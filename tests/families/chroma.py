"""Chroma pipelines of a few thousand parameters."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import (
    ChromaImg2ImgPipeline,
    ChromaPipeline,
    ChromaTransformer2DModel,
    FlowMatchEulerDiscreteScheduler,
)
from families.flux import PACKED, TEXT_DIM, flux_vae, t5_encoder
from families.tokenizers import t5_tokenizer
from families.weights import fill_zeros


def chroma(seed: int = 0) -> Any:
    """A ChromaPipeline."""
    return _quiet(ChromaPipeline(**_components(seed)))


def img2img(seed: int = 0) -> Any:
    """A ChromaImg2ImgPipeline."""
    return _quiet(ChromaImg2ImgPipeline(**_components(seed)))


def _components(seed: int) -> dict[str, Any]:
    torch.manual_seed(seed)
    tokenizer = t5_tokenizer()
    transformer = ChromaTransformer2DModel(
        patch_size=1,
        in_channels=PACKED,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=TEXT_DIM,
        axes_dims_rope=(4, 4, 8),
        approximator_num_channels=16,
        approximator_hidden_dim=16,
        approximator_layers=1,
    )
    fill_zeros(transformer)
    return {
        "tokenizer": tokenizer,
        "text_encoder": t5_encoder(len(tokenizer)),
        "transformer": transformer.eval(),
        "vae": flux_vae(),
        "scheduler": FlowMatchEulerDiscreteScheduler(),
    }


def _quiet(pipe: Any) -> Any:
    pipe.set_progress_bar_config(disable=True)
    return pipe
