"""Pipelines of the sizes that people run, with random weights and tokenizers built in memory.

The sizes are those of the public models' configs. Weights are drawn on the device itself, so that
nothing is downloaded and nothing is copied. Decoders of pictures are left out but for Stable
Diffusion's, which learning needs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    CogVideoXDDIMScheduler,
    CogVideoXPipeline,
    CogVideoXTransformer3DModel,
    DDIMScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
    WanPipeline,
    WanTransformer3DModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    UMT5Config,
    UMT5EncoderModel,
)

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from families.tokenizers import clip_tokenizer, t5_tokenizer

_CLIP_TOKENS = 49408
_CLIP_L = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12}
_CLIP_G = {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32}
_XXL = {
    "d_model": 4096,
    "d_kv": 64,
    "d_ff": 10240,
    "num_layers": 24,
    "num_heads": 64,
    "feed_forward_proj": "gated-gelu",
}


Device = torch.device | str


@dataclass(frozen=True)
class Shape:
    """One model.

    Attributes:
        name: for tables.
        build: makes the pipeline on a device in a dtype.
        inputs: of a call as people make it.
        small: of a call that a CPU gets through.
        steps: denoising steps as people use.
    """

    name: str
    build: Callable[[Device, torch.dtype], Any]
    inputs: Mapping[str, Any]
    small: Mapping[str, Any] = field(default_factory=dict)
    steps: int = 50


@contextmanager
def drawn_on(device: Device, dtype: torch.dtype, seed: int = 0) -> Iterator[None]:
    """Networks made inside have random weights of `dtype` on `device`."""
    torch.manual_seed(seed)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            yield
    finally:
        torch.set_default_dtype(before)


def stable_diffusion(device: Device, dtype: torch.dtype, *, vae: bool = False) -> Any:
    """Stable Diffusion 1.5."""
    tokenizer = _clip_tokenizer()
    with drawn_on(device, dtype):
        networks = {
            "vae": _vae() if vae else None,
            "text_encoder": CLIPTextModel(_clip(tokenizer, 12, "quick_gelu", _CLIP_L)),
            "unet": UNet2DConditionModel(
                sample_size=64, cross_attention_dim=768, attention_head_dim=8
            ),
        }
    return _quiet(
        StableDiffusionPipeline(
            **_evaluated(networks),
            tokenizer=tokenizer,
            scheduler=DDIMScheduler(clip_sample=False, steps_offset=1),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    )


def stable_diffusion_xl(device: Device, dtype: torch.dtype) -> Any:
    """Stable Diffusion XL, the base model."""
    tokenizer = _clip_tokenizer()
    with drawn_on(device, dtype):
        networks = {
            "text_encoder": CLIPTextModel(_clip(tokenizer, 12, "quick_gelu", _CLIP_L)),
            "text_encoder_2": CLIPTextModelWithProjection(_clip(tokenizer, 20, "gelu", _CLIP_G)),
            "unet": UNet2DConditionModel(
                sample_size=128,
                down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
                up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
                block_out_channels=(320, 640, 1280),
                transformer_layers_per_block=(1, 2, 10),
                attention_head_dim=(5, 10, 20),
                cross_attention_dim=2048,
                use_linear_projection=True,
                addition_embed_type="text_time",
                addition_time_embed_dim=256,
                projection_class_embeddings_input_dim=2816,
            ),
        }
    return _quiet(
        StableDiffusionXLPipeline(
            **_evaluated(networks),
            vae=None,
            tokenizer=tokenizer,
            tokenizer_2=_clip_tokenizer(),
            scheduler=EulerDiscreteScheduler(),
            add_watermarker=False,
        )
    )


def flux(device: Device, dtype: torch.dtype) -> Any:
    """Flux.1-dev."""
    tokenizer = _clip_tokenizer()
    with drawn_on(device, dtype):
        networks = {
            "text_encoder": CLIPTextModel(_clip(tokenizer, 12, "quick_gelu", _CLIP_L)),
            "text_encoder_2": T5EncoderModel(T5Config(vocab_size=32128, **_XXL)),
            "transformer": FluxTransformer2DModel(guidance_embeds=True),
        }
    return _quiet(
        FluxPipeline(
            **_evaluated(networks),
            vae=None,
            tokenizer=tokenizer,
            tokenizer_2=t5_tokenizer(),
            scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift=3.0),
        )
    )


def wan(device: Device, dtype: torch.dtype) -> Any:
    """Wan 2.1, text to video, 1.3 billion parameters."""
    with drawn_on(device, dtype):
        networks = {
            "text_encoder": UMT5EncoderModel(UMT5Config(vocab_size=256384, **_XXL)),
            "transformer": WanTransformer3DModel(
                num_attention_heads=12, ffn_dim=8960, num_layers=30
            ),
        }
    return _quiet(
        WanPipeline(
            **_evaluated(networks),
            vae=None,
            tokenizer=t5_tokenizer(),
            scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        )
    )


def cogvideox(device: Device, dtype: torch.dtype) -> Any:
    """CogVideoX-2B."""
    with drawn_on(device, dtype):
        networks = {
            "text_encoder": T5EncoderModel(T5Config(vocab_size=32128, **_XXL)),
            "transformer": CogVideoXTransformer3DModel(),
        }
    return _quiet(
        CogVideoXPipeline(
            **_evaluated(networks),
            vae=None,
            tokenizer=t5_tokenizer(226),
            scheduler=CogVideoXDDIMScheduler(),
        )
    )


_SQUARE = {"height": 512, "width": 512}
SHAPES = {
    "sd-1.5": Shape("Stable Diffusion 1.5", stable_diffusion, _SQUARE, _SQUARE),
    "sdxl": Shape("SDXL", stable_diffusion_xl, {"height": 1024, "width": 1024}, _SQUARE),
    "flux-dev": Shape("Flux-dev", flux, {"height": 1024, "width": 1024}, _SQUARE),
    "wan-1.3b": Shape(
        "Wan 1.3B",
        wan,
        {"height": 480, "width": 832, "num_frames": 81},
        {"height": 240, "width": 416, "num_frames": 9},
    ),
    "cogvideox-2b": Shape(
        "CogVideoX-2B",
        cogvideox,
        {"height": 480, "width": 720, "num_frames": 49},
        {"height": 240, "width": 360, "num_frames": 9},
    ),
}


def _clip_tokenizer() -> CLIPTokenizer:
    """With as many tokens as CLIP's has."""
    small = clip_tokenizer()
    model = json.loads(small.backend_tokenizer.to_str())["model"]
    vocab = model["vocab"]
    vocab |= {f"<unused-{number}>": number for number in range(len(vocab), _CLIP_TOKENS)}
    return CLIPTokenizer(
        vocab=vocab,
        merges=[tuple(pair) for pair in model["merges"]],
        model_max_length=small.model_max_length,
    )


def _clip(tokenizer: Any, heads: int, activation: str, size: Mapping[str, int]) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=_CLIP_TOKENS,
        num_attention_heads=heads,
        hidden_act=activation,
        projection_dim=size["hidden_size"],
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **size,
    )


def _vae() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        sample_size=512,
    )


def _evaluated(networks: Mapping[str, Any]) -> dict[str, Any]:
    return {name: part and part.eval() for name, part in networks.items()}


def _quiet(pipe: Any) -> Any:
    pipe.set_progress_bar_config(disable=True)
    return pipe
