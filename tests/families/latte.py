"""A Latte pipeline of a few thousand parameters."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import DDIMScheduler, LattePipeline, LatteTransformer3DModel
from families.t5_encoders import t5
from families.tokenizers import t5_tokenizer
from families.weights import fill_zeros

TEXT_DIM = 16


def latte(seed: int = 0) -> Any:
    """A LattePipeline."""
    torch.manual_seed(seed)
    tokenizer = t5_tokenizer(120)
    transformer = LatteTransformer3DModel(
        sample_size=8,
        num_layers=1,
        patch_size=2,
        attention_head_dim=8,
        num_attention_heads=2,
        caption_channels=TEXT_DIM,
        in_channels=4,
        out_channels=8,
        cross_attention_dim=16,
        attention_bias=True,
        num_embeds_ada_norm=1000,
        norm_type="ada_norm_single",
        norm_elementwise_affine=False,
        video_length=2,
    )
    fill_zeros(transformer)
    pipe = LattePipeline(
        tokenizer=tokenizer,
        text_encoder=t5(tokenizer, TEXT_DIM),
        transformer=transformer.eval(),
        vae=None,
        scheduler=DDIMScheduler(clip_sample=False),
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe
