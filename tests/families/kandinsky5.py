"""Kandinsky 5 pipelines of a few thousand parameters: a Qwen2.5-VL encoder behind a template,
CLIP's pooled vector, and a transformer of text and visual blocks."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLHunyuanVideo,
    FlowMatchEulerDiscreteScheduler,
    Kandinsky5I2IPipeline,
    Kandinsky5I2VPipeline,
    Kandinsky5T2IPipeline,
    Kandinsky5T2VPipeline,
    Kandinsky5Transformer3DModel,
)
from families.clip_encoders import clip
from families.flux2 import TextProcessor
from families.qwen_image import TEXT_DIM, qwen_text_encoder
from families.tokenizers import clip_tokenizer, llm_tokenizer
from families.weights import fill_zeros

POOLED, CHANNELS = 8, 4
TEMPLATE = "<|im_start|>user\n{}<|im_end|>"


def kandinsky5_t2v(seed: int = 0) -> Any:
    """A Kandinsky5T2VPipeline."""
    return _pipeline(Kandinsky5T2VPipeline, _video_vae, seed)


def kandinsky5_i2v(seed: int = 0) -> Any:
    """A Kandinsky5I2VPipeline, whose transformer reads the first frame beside the noise."""
    return _pipeline(Kandinsky5I2VPipeline, _video_vae, seed, visual_cond=True)


def kandinsky5_t2i(seed: int = 0) -> Any:
    """A Kandinsky5T2IPipeline."""
    return _pipeline(Kandinsky5T2IPipeline, _image_vae, seed)


def kandinsky5_i2i(seed: int = 0) -> Any:
    """A Kandinsky5I2IPipeline, whose transformer reads the picture beside the noise."""
    return _pipeline(Kandinsky5I2IPipeline, _image_vae, seed, visual_cond=True)


def _pipeline(cls: Any, vae: Any, seed: int, visual_cond: bool = False) -> Any:
    torch.manual_seed(seed)
    transformer = Kandinsky5Transformer3DModel(
        in_visual_dim=CHANNELS,
        out_visual_dim=CHANNELS,
        in_text_dim=TEXT_DIM,
        in_text_dim2=POOLED,
        time_dim=16,
        model_dim=32,
        ff_dim=32,
        num_text_blocks=1,
        num_visual_blocks=2,
        axes_dims=(4, 6, 6),
        visual_cond=visual_cond,
    )
    fill_zeros(transformer)
    tokenizer = clip_tokenizer()
    pipe = cls(
        transformer=transformer.eval(),
        vae=vae(),
        text_encoder=qwen_text_encoder().eval(),
        tokenizer=TextProcessor(llm_tokenizer()),
        text_encoder_2=clip(tokenizer, POOLED),
        tokenizer_2=tokenizer,
        scheduler=FlowMatchEulerDiscreteScheduler(),
    )
    # Our tokenizer spells the template in other tokens than Qwen's: the crop moves with it.
    pipe.prompt_template = TEMPLATE
    before = TEMPLATE[: TEMPLATE.index("{}")]
    pipe.prompt_template_encode_start_idx = len(pipe.tokenizer.tokenizer(before).input_ids)
    pipe.resolutions = [(32, 32)]
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _video_vae() -> Any:
    return AutoencoderKLHunyuanVideo(
        latent_channels=CHANNELS,
        block_out_channels=(8, 8, 8, 8),
        layers_per_block=1,
        norm_num_groups=4,
        mid_block_add_attention=False,
    ).eval()


def _image_vae() -> Any:
    return AutoencoderKL(
        latent_channels=CHANNELS,
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        norm_num_groups=4,
    ).eval()
