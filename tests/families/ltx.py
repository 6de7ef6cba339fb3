"""LTX-Video pipelines of a few thousand parameters: a T5 encoder and a transformer."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import (
    AutoencoderKLLTXVideo,
    FlowMatchEulerDiscreteScheduler,
    LTXConditionPipeline,
    LTXImageToVideoPipeline,
    LTXPipeline,
    LTXVideoTransformer3DModel,
)
from families.t5_encoders import t5
from families.tokenizers import t5_tokenizer
from families.weights import fill_zeros

TEXT_DIM = 16


def ltx(seed: int = 0) -> Any:
    """An LTXPipeline."""
    return _quiet(LTXPipeline(**_components(seed)))


def image_to_video(seed: int = 0) -> Any:
    """An LTXImageToVideoPipeline."""
    return _quiet(LTXImageToVideoPipeline(**_components(seed)))


def condition(seed: int = 0) -> Any:
    """An LTXConditionPipeline."""
    return _quiet(LTXConditionPipeline(**_components(seed)))


def _components(seed: int) -> dict[str, Any]:
    torch.manual_seed(seed)
    tokenizer = t5_tokenizer()
    transformer = LTXVideoTransformer3DModel(
        in_channels=8,
        out_channels=8,
        num_attention_heads=2,
        attention_head_dim=8,
        cross_attention_dim=16,
        num_layers=2,
        caption_channels=TEXT_DIM,
    )
    fill_zeros(transformer)
    vae = AutoencoderKLLTXVideo(
        latent_channels=8,
        block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8),
        layers_per_block=(1, 1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1, 1),
        spatio_temporal_scaling=(True, True, False, False),
        decoder_spatio_temporal_scaling=(True, True, False, False),
        patch_size=1,
        patch_size_t=1,
    )
    return {
        "tokenizer": tokenizer,
        "text_encoder": t5(tokenizer, TEXT_DIM),
        "transformer": transformer.eval(),
        "vae": vae.eval(),
        "scheduler": FlowMatchEulerDiscreteScheduler(),
    }


def _quiet(pipe: Any) -> Any:
    pipe.set_progress_bar_config(disable=True)
    return pipe
