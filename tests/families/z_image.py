"""Z-Image pipelines of a few thousand parameters: a Qwen3 encoder behind a chat template and a
transformer that takes a list of pictures and a list of texts."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    ZImageImg2ImgPipeline,
    ZImageInpaintPipeline,
    ZImagePipeline,
    ZImageTransformer2DModel,
)
from families.tokenizers import llm_tokenizer
from families.weights import fill_zeros
from transformers import Qwen3Config, Qwen3Model

TEXT_DIM = 16


def z_image(seed: int = 0) -> Any:
    """A ZImagePipeline."""
    return _pipeline(ZImagePipeline, seed)


def z_image_img2img(seed: int = 0) -> Any:
    """A ZImageImg2ImgPipeline."""
    return _pipeline(ZImageImg2ImgPipeline, seed)


def z_image_inpaint(seed: int = 0) -> Any:
    """A ZImageInpaintPipeline."""
    return _pipeline(ZImageInpaintPipeline, seed)


def _pipeline(cls: Any, seed: int) -> Any:
    torch.manual_seed(seed)
    tokenizer = llm_tokenizer()
    text_encoder = Qwen3Model(
        Qwen3Config(
            vocab_size=len(tokenizer),
            hidden_size=TEXT_DIM,
            intermediate_size=32,
            num_hidden_layers=3,
            num_attention_heads=2,
            num_key_value_heads=2,
            head_dim=8,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    transformer = ZImageTransformer2DModel(
        in_channels=4,
        dim=16,
        n_layers=2,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=TEXT_DIM,
        axes_dims=[4, 2, 2],
        axes_lens=[256, 32, 32],
    )
    fill_zeros(transformer)
    vae = AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
        latent_channels=4,
        sample_size=16,
        scaling_factor=0.5,
        shift_factor=0.0,
    )
    pipe = cls(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=vae.eval(),
        text_encoder=text_encoder.eval(),
        tokenizer=tokenizer,
        transformer=transformer.eval(),
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe
