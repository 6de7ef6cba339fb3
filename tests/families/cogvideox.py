"""CogVideoX pipelines of a few thousand parameters: a T5 encoder and a joint transformer."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import (
    AutoencoderKLCogVideoX,
    CogVideoXDDIMScheduler,
    CogVideoXImageToVideoPipeline,
    CogVideoXPipeline,
    CogVideoXTransformer3DModel,
    CogVideoXVideoToVideoPipeline,
)
from families.t5_encoders import t5
from families.tokenizers import t5_tokenizer
from families.weights import fill_zeros

TEXT_DIM, LENGTH = 16, 16


def cogvideox(seed: int = 0) -> Any:
    """A CogVideoXPipeline."""
    return _quiet(CogVideoXPipeline(**_components(seed)))


def image_to_video(seed: int = 0) -> Any:
    """A CogVideoXImageToVideoPipeline."""
    parts = {**_components(seed, in_channels=8), "vae": _vae()}
    return _quiet(CogVideoXImageToVideoPipeline(**parts))


def video_to_video(seed: int = 0) -> Any:
    """A CogVideoXVideoToVideoPipeline."""
    return _quiet(CogVideoXVideoToVideoPipeline(**{**_components(seed), "vae": _vae()}))


def _components(seed: int, in_channels: int = 4) -> dict[str, Any]:
    torch.manual_seed(seed)
    tokenizer = t5_tokenizer(LENGTH)
    transformer = CogVideoXTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=in_channels,
        out_channels=4,
        time_embed_dim=8,
        text_embed_dim=TEXT_DIM,
        num_layers=2,
        sample_width=2,
        sample_height=2,
        sample_frames=9,
        patch_size=2,
        max_text_seq_length=LENGTH,
        use_rotary_positional_embeddings=True,
    )
    fill_zeros(transformer)
    return {
        "tokenizer": tokenizer,
        "text_encoder": t5(tokenizer, TEXT_DIM),
        "transformer": transformer.eval(),
        "vae": None,
        "scheduler": CogVideoXDDIMScheduler(),
    }


def _vae() -> AutoencoderKLCogVideoX:
    return AutoencoderKLCogVideoX(
        down_block_types=("CogVideoXDownBlock3D",) * 4,
        up_block_types=("CogVideoXUpBlock3D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=2,
        temporal_compression_ratio=4,
    ).eval()


def _quiet(pipe: Any) -> Any:
    pipe.set_progress_bar_config(disable=True)
    return pipe
