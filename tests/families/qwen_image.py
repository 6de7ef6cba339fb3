"""Qwen-Image pipelines of a few thousand parameters: a Qwen2.5-VL encoder behind a chat template
and a transformer that attends to text and image together."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import (
    AutoencoderKLQwenImage,
    FlowMatchEulerDiscreteScheduler,
    QwenImageControlNetInpaintPipeline,
    QwenImageControlNetModel,
    QwenImageControlNetPipeline,
    QwenImageImg2ImgPipeline,
    QwenImageInpaintPipeline,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
)
from families.tokenizers import llm_tokenizer
from families.weights import fill_zeros
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

TEXT_DIM = 16
DENOISER = {
    "patch_size": 2,
    "in_channels": 16,
    "out_channels": 4,
    "num_layers": 2,
    "attention_head_dim": 16,
    "num_attention_heads": 2,
    "joint_attention_dim": TEXT_DIM,
    "axes_dims_rope": (8, 4, 4),
}


def qwen_image(seed: int = 0) -> Any:
    """A QwenImagePipeline."""
    torch.manual_seed(seed)
    transformer = QwenImageTransformer2DModel(**DENOISER)
    fill_zeros(transformer)
    vae = AutoencoderKLQwenImage(
        base_dim=8,
        z_dim=4,
        dim_mult=[1, 1],
        num_res_blocks=1,
        temperal_downsample=[False],
        latents_mean=[0.0] * 4,
        latents_std=[1.0] * 4,
    )
    pipe = QwenImagePipeline(
        vae=vae.eval(),
        text_encoder=qwen_text_encoder().eval(),
        tokenizer=llm_tokenizer(),
        transformer=transformer.eval(),
        scheduler=FlowMatchEulerDiscreteScheduler(),
    )
    return _ready(pipe)


def qwen_image_img2img(seed: int = 0) -> Any:
    """A QwenImageImg2ImgPipeline."""
    return _ready(QwenImageImg2ImgPipeline(**qwen_image(seed).components))


def qwen_image_inpaint(seed: int = 0) -> Any:
    """A QwenImageInpaintPipeline."""
    return _ready(QwenImageInpaintPipeline(**qwen_image(seed).components))


def qwen_image_controlnet(seed: int = 0) -> Any:
    """A QwenImageControlNetPipeline."""
    return _controlled(QwenImageControlNetPipeline, 0, seed)


def qwen_image_controlnet_inpaint(seed: int = 0) -> Any:
    """A QwenImageControlNetInpaintPipeline, whose ControlNet reads a mask as well."""
    return _controlled(QwenImageControlNetInpaintPipeline, 4, seed)


def _controlled(cls: Any, extra_channels: int, seed: int) -> Any:
    base = qwen_image(seed)
    controlnet = QwenImageControlNetModel(**DENOISER, extra_condition_channels=extra_channels)
    fill_zeros(controlnet)
    return _ready(cls(controlnet=controlnet.eval(), **base.components))


def qwen_text_encoder() -> Qwen2_5_VLForConditionalGeneration:
    """A Qwen2.5-VL of `TEXT_DIM` dimensions."""
    tokenizer = llm_tokenizer()
    vocab_size = len(tokenizer)
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": vocab_size,
            "hidden_size": TEXT_DIM,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "bos_token_id": None,
            "eos_token_id": tokenizer.eos_token_id,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "mrope_section": [1, 1, 2],
            },
        },
        vision_config={
            "depth": 1,
            "hidden_size": TEXT_DIM,
            "intermediate_size": 32,
            "num_heads": 2,
            "out_hidden_size": TEXT_DIM,
            "fullatt_block_indexes": [0],
        },
        image_token_id=vocab_size - 1,
        video_token_id=vocab_size - 1,
        vision_start_token_id=vocab_size - 1,
        vision_end_token_id=vocab_size - 1,
    )
    return Qwen2_5_VLForConditionalGeneration(config)


def _ready(pipe: Any) -> Any:
    # Our tokenizer spells the template in more tokens than Qwen's: the crop moves with it.
    template = pipe.prompt_template_encode
    start = len(pipe.tokenizer(template[: template.index("{}")]).input_ids)
    pipe.prompt_template_encode_start_idx = start
    pipe.set_progress_bar_config(disable=True)
    return pipe
