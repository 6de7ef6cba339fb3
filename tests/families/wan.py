"""Wan pipelines of a few thousand parameters: a UMT5 encoder and one or two transformers."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import (
    AutoencoderKLWan,
    FlowMatchEulerDiscreteScheduler,
    WanImageToVideoPipeline,
    WanPipeline,
    WanTransformer3DModel,
    WanVideoToVideoPipeline,
)
from families.t5_encoders import umt5
from families.tokenizers import t5_tokenizer
from families.weights import fill_zeros

TEXT_DIM = 16


def wan(seed: int = 0) -> Any:
    """A WanPipeline with one transformer, as Wan 2.1."""
    return _quiet(WanPipeline(**_components(seed)))


def wan_2_2(seed: int = 0) -> Any:
    """A WanPipeline that hands over to a second transformer, as Wan 2.2."""
    parts = {**_components(seed), "transformer_2": _transformer(), "boundary_ratio": 0.8}
    return _quiet(WanPipeline(**parts))


def image_to_video(seed: int = 0) -> Any:
    """A WanImageToVideoPipeline without an image encoder, as Wan 2.2."""
    parts = {
        **_components(seed),
        "transformer": _transformer(in_channels=36),
        "transformer_2": _transformer(in_channels=36),
        "vae": _vae(),
        "boundary_ratio": 0.8,
    }
    return _quiet(WanImageToVideoPipeline(**parts))


def video_to_video(seed: int = 0) -> Any:
    """A WanVideoToVideoPipeline."""
    return _quiet(WanVideoToVideoPipeline(**{**_components(seed), "vae": _vae()}))


def _components(seed: int) -> dict[str, Any]:
    torch.manual_seed(seed)
    tokenizer = t5_tokenizer()
    return {
        "tokenizer": tokenizer,
        "text_encoder": umt5(tokenizer, TEXT_DIM),
        "transformer": _transformer(),
        "vae": None,
        "scheduler": FlowMatchEulerDiscreteScheduler(shift=3.0),
    }


def _transformer(in_channels: int = 16) -> WanTransformer3DModel:
    transformer = WanTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=in_channels,
        out_channels=16,
        text_dim=TEXT_DIM,
        freq_dim=16,
        ffn_dim=32,
        num_layers=2,
        cross_attn_norm=True,
        rope_max_seq_len=16,
    )
    fill_zeros(transformer)
    return transformer.eval()


def _vae() -> AutoencoderKLWan:
    return AutoencoderKLWan(
        base_dim=3,
        z_dim=16,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
    ).eval()


def _quiet(pipe: Any) -> Any:
    pipe.set_progress_bar_config(disable=True)
    return pipe
