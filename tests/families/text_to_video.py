"""ModelScope's pipelines at a few thousand parameters."""

from __future__ import annotations

from typing import Any

import tiny
import torch
from diffusers import TextToVideoSDPipeline, UNet3DConditionModel, VideoToVideoSDPipeline
from families.weights import fill_zeros


def text_to_video(seed: int = 0) -> Any:
    """A TextToVideoSDPipeline."""
    return _moving(TextToVideoSDPipeline, seed)


def video_to_video(seed: int = 0) -> Any:
    """A VideoToVideoSDPipeline."""
    return _moving(VideoToVideoSDPipeline, seed)


def _moving(cls: Any, seed: int) -> Any:
    image = tiny.stable_diffusion(seed)
    torch.manual_seed(seed)
    unet = UNet3DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=32,
        attention_head_dim=4,
        down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"),
        up_block_types=("UpBlock3D", "CrossAttnUpBlock3D"),
    )
    fill_zeros(unet)
    names = ("vae", "text_encoder", "tokenizer", "scheduler")
    pipe = cls(**{name: getattr(image, name) for name in names}, unet=unet.eval())
    pipe.set_progress_bar_config(disable=True)
    return pipe
