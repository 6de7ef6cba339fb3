"""Stable Diffusion XL pipelines of a few thousand parameters: two CLIP encoders and a UNet."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    DDIMScheduler,
    StableDiffusionXLControlNetImg2ImgPipeline,
    StableDiffusionXLControlNetInpaintPipeline,
    StableDiffusionXLControlNetPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLInpaintPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from families.clip_encoders import clip, projected_clip
from families.tokenizers import clip_tokenizer

FIRST, SECOND, POOLED = 16, 24, 12
"""Widths of the first encoder, of the second, and of its projected vector."""


def stable_diffusion_xl(seed: int = 0) -> Any:
    """A StableDiffusionXLPipeline."""
    return quiet(StableDiffusionXLPipeline(**components(seed), add_watermarker=False))


def img2img(seed: int = 0) -> Any:
    """A StableDiffusionXLImg2ImgPipeline."""
    return quiet(StableDiffusionXLImg2ImgPipeline(**components(seed), add_watermarker=False))


def inpaint(seed: int = 0) -> Any:
    """A StableDiffusionXLInpaintPipeline."""
    return quiet(StableDiffusionXLInpaintPipeline(**components(seed), add_watermarker=False))


def controlnet(seed: int = 0) -> Any:
    """A StableDiffusionXLControlNetPipeline."""
    return _controlled(StableDiffusionXLControlNetPipeline, seed)


def controlnet_img2img(seed: int = 0) -> Any:
    """A StableDiffusionXLControlNetImg2ImgPipeline."""
    return _controlled(StableDiffusionXLControlNetImg2ImgPipeline, seed)


def controlnet_inpaint(seed: int = 0) -> Any:
    """A StableDiffusionXLControlNetInpaintPipeline."""
    return _controlled(StableDiffusionXLControlNetInpaintPipeline, seed)


def unet(*, text: int = FIRST + SECOND, pooled: int = POOLED) -> UNet2DConditionModel:
    """A UNet that reads a pooled vector and the picture's sizes."""
    return UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(16, 32),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=text,
        attention_head_dim=(2, 4),
        use_linear_projection=True,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=pooled + 6 * 8,
    ).eval()


def vae() -> AutoencoderKL:
    """Half the picture's size, four channels."""
    return AutoencoderKL(
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
        latent_channels=4,
        sample_size=16,
    ).eval()


def components(seed: int) -> dict[str, Any]:
    """The parts that every pipeline of the family has."""
    torch.manual_seed(seed)
    tokenizer, tokenizer_2 = clip_tokenizer(), clip_tokenizer()
    return {
        "text_encoder": clip(tokenizer, FIRST),
        "text_encoder_2": projected_clip(tokenizer_2, SECOND, POOLED),
        "tokenizer": tokenizer,
        "tokenizer_2": tokenizer_2,
        "unet": unet(),
        "vae": vae(),
        "scheduler": DDIMScheduler(clip_sample=False, steps_offset=1),
    }


def quiet(pipe: Any) -> Any:
    """Without a progress bar."""
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _controlled(cls: Any, seed: int) -> Any:
    parts = components(seed)
    control = ControlNetModel.from_unet(
        parts["unet"], conditioning_embedding_out_channels=(8, 16)
    ).eval()
    for parameter in control.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return quiet(cls(**parts, controlnet=control, add_watermarker=False))
