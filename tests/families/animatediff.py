"""AnimateDiff pipelines of a few thousand parameters."""

from __future__ import annotations

from typing import Any

import tiny
import torch
from diffusers import (
    AnimateDiffPipeline,
    AnimateDiffSDXLPipeline,
    AnimateDiffSparseControlNetPipeline,
    AnimateDiffVideoToVideoPipeline,
    MotionAdapter,
    SparseControlNetModel,
)
from families import stable_diffusion_xl
from families.weights import fill_zeros


def animatediff(seed: int = 0) -> Any:
    """An AnimateDiffPipeline."""
    return _moving(AnimateDiffPipeline, seed)


def video_to_video(seed: int = 0) -> Any:
    """An AnimateDiffVideoToVideoPipeline."""
    return _moving(AnimateDiffVideoToVideoPipeline, seed)


def sparse_control(seed: int = 0) -> Any:
    """An AnimateDiffSparseControlNetPipeline."""
    torch.manual_seed(2)
    controlnet = SparseControlNetModel(
        in_channels=4,
        conditioning_channels=3,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("DownBlockMotion", "CrossAttnDownBlockMotion"),
        cross_attention_dim=32,
        attention_head_dim=8,
        norm_num_groups=4,
        motion_num_attention_heads=2,
        conditioning_embedding_out_channels=(8, 8),
        use_simplified_condition_embedding=False,
    )
    fill_zeros(controlnet)
    return _moving(AnimateDiffSparseControlNetPipeline, seed, controlnet=controlnet.eval())


def animatediff_xl(seed: int = 0) -> Any:
    """An AnimateDiffSDXLPipeline."""
    parts = stable_diffusion_xl.components(seed)
    return stable_diffusion_xl.quiet(
        AnimateDiffSDXLPipeline(**parts, motion_adapter=_adapter(use_motion_mid_block=False))
    )


def _moving(cls: Any, seed: int, **more: Any) -> Any:
    image = tiny.stable_diffusion(seed)
    names = ("vae", "text_encoder", "tokenizer", "unet", "scheduler")
    parts = {name: getattr(image, name) for name in names}
    return stable_diffusion_xl.quiet(cls(**parts, **more, motion_adapter=_adapter()))


def _adapter(**settings: Any) -> MotionAdapter:
    torch.manual_seed(1)
    adapter = MotionAdapter(
        block_out_channels=(16, 32),
        motion_layers_per_block=1,
        motion_num_attention_heads=2,
        motion_norm_num_groups=4,
        **settings,
    )
    fill_zeros(adapter)
    return adapter.eval()
