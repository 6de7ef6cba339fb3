"""Flux pipelines of a few thousand parameters: CLIP for the pooled vector, T5 for the sequence."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    FluxControlImg2ImgPipeline,
    FluxControlInpaintPipeline,
    FluxControlNetImg2ImgPipeline,
    FluxControlNetInpaintPipeline,
    FluxControlNetModel,
    FluxControlNetPipeline,
    FluxControlPipeline,
    FluxFillPipeline,
    FluxImg2ImgPipeline,
    FluxInpaintPipeline,
    FluxKontextInpaintPipeline,
    FluxKontextPipeline,
    FluxPipeline,
    FluxTransformer2DModel,
)
from families.tokenizers import clip_tokenizer, t5_tokenizer
from families.weights import fill_zeros
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

POOLED_DIM, TEXT_DIM = 16, 24
PACKED = 4
"""Channels of one image token: one latent channel, 2 × 2 latents a token."""
_MASK = 16
"""Channels of the mask that the fill pipeline packs beside the picture."""


def flux(seed: int = 0) -> Any:
    """A FluxPipeline with a guidance embedding."""
    return _quiet(FluxPipeline(**_components(seed)))


def small_flux(seed: int = 0) -> Any:
    """A FluxPipeline that draws, and learns from, 16 × 16 pixels where it is not told how large."""
    pipe = flux(seed)
    pipe.default_sample_size = 8
    return pipe


def flux_without_guidance_embedding(seed: int = 0) -> Any:
    """A FluxPipeline as of the variant that is distilled to few steps."""
    return _quiet(FluxPipeline(**_components(seed, guidance_embeds=False)))


def flux_img2img(seed: int = 0) -> Any:
    """A FluxImg2ImgPipeline."""
    return _quiet(FluxImg2ImgPipeline(**_components(seed)))


def flux_inpaint(seed: int = 0) -> Any:
    """A FluxInpaintPipeline."""
    return _quiet(FluxInpaintPipeline(**_components(seed)))


def flux_kontext(seed: int = 0) -> Any:
    """A FluxKontextPipeline."""
    return _quiet(FluxKontextPipeline(**_components(seed)))


def flux_kontext_inpaint(seed: int = 0) -> Any:
    """A FluxKontextInpaintPipeline."""
    return _quiet(FluxKontextInpaintPipeline(**_components(seed)))


def flux_fill(seed: int = 0) -> Any:
    """A FluxFillPipeline."""
    return _quiet(FluxFillPipeline(**_components(seed, in_channels=2 * PACKED + _MASK)))


def flux_control(seed: int = 0) -> Any:
    """A FluxControlPipeline."""
    return _quiet(FluxControlPipeline(**_components(seed, in_channels=2 * PACKED)))


def flux_control_img2img(seed: int = 0) -> Any:
    """A FluxControlImg2ImgPipeline."""
    return _quiet(FluxControlImg2ImgPipeline(**_components(seed, in_channels=2 * PACKED)))


def flux_control_inpaint(seed: int = 0) -> Any:
    """A FluxControlInpaintPipeline."""
    return _quiet(FluxControlInpaintPipeline(**_components(seed, in_channels=2 * PACKED)))


def flux_controlnet(seed: int = 0) -> Any:
    """A FluxControlNetPipeline."""
    return _with_controlnet(FluxControlNetPipeline, seed)


def flux_controlnet_img2img(seed: int = 0) -> Any:
    """A FluxControlNetImg2ImgPipeline."""
    return _with_controlnet(FluxControlNetImg2ImgPipeline, seed)


def flux_controlnet_inpaint(seed: int = 0) -> Any:
    """A FluxControlNetInpaintPipeline."""
    return _with_controlnet(FluxControlNetInpaintPipeline, seed)


def flux_vae() -> AutoencoderKL:
    """One latent channel, half the picture's size."""
    vae = AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
        latent_channels=PACKED // 4,
        use_quant_conv=False,
        use_post_quant_conv=False,
        shift_factor=0.1,
        scaling_factor=1.5,
        sample_size=16,
    )
    return vae.eval()


def t5_encoder(vocabulary: int) -> T5EncoderModel:
    """The encoder that the Flux line shares."""
    config = T5Config(
        vocab_size=vocabulary,
        d_model=TEXT_DIM,
        d_kv=8,
        d_ff=32,
        num_layers=2,
        num_heads=2,
        relative_attention_num_buckets=8,
    )
    return T5EncoderModel(config).eval()


def _components(
    seed: int, *, in_channels: int = PACKED, guidance_embeds: bool = True
) -> dict[str, Any]:
    torch.manual_seed(seed)
    tokenizer, tokenizer_2 = clip_tokenizer(), t5_tokenizer()
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=POOLED_DIM,
            intermediate_size=2 * POOLED_DIM,
            num_hidden_layers=2,
            num_attention_heads=2,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )
    transformer = FluxTransformer2DModel(
        in_channels=in_channels,
        out_channels=PACKED,
        guidance_embeds=guidance_embeds,
        **_sizes(),
    )
    fill_zeros(transformer)
    return {
        "scheduler": FlowMatchEulerDiscreteScheduler(),
        "vae": flux_vae(),
        "text_encoder": text_encoder.eval(),
        "tokenizer": tokenizer,
        "text_encoder_2": t5_encoder(len(tokenizer_2)),
        "tokenizer_2": tokenizer_2,
        "transformer": transformer.eval(),
    }


def _sizes() -> dict[str, Any]:
    return {
        "patch_size": 1,
        "num_layers": 1,
        "num_single_layers": 1,
        "attention_head_dim": 8,
        "num_attention_heads": 2,
        "joint_attention_dim": TEXT_DIM,
        "pooled_projection_dim": POOLED_DIM,
        "axes_dims_rope": (4, 2, 2),
    }


def _with_controlnet(cls: Any, seed: int) -> Any:
    parts = _components(seed)
    controlnet = FluxControlNetModel(in_channels=PACKED, guidance_embeds=True, **_sizes())
    fill_zeros(controlnet)
    return _quiet(cls(controlnet=controlnet.eval(), **parts))


def _quiet(pipe: Any) -> Any:
    pipe.set_progress_bar_config(disable=True)
    return pipe
