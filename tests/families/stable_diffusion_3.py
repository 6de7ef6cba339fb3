"""Stable Diffusion 3 pipelines of a few thousand parameters: two CLIP encoders and a T5."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    SD3ControlNetModel,
    SD3Transformer2DModel,
    StableDiffusion3ControlNetInpaintingPipeline,
    StableDiffusion3ControlNetPipeline,
    StableDiffusion3Img2ImgPipeline,
    StableDiffusion3InpaintPipeline,
    StableDiffusion3Pipeline,
)
from families.clip_encoders import projected_clip
from families.tokenizers import clip_tokenizer, t5_tokenizer
from families.weights import fill_zeros
from transformers import T5Config, T5EncoderModel

FIRST, SECOND, T5 = 16, 24, 48
"""Widths of the encoders; T5's holds both others' side by side."""
POOLED = (8, 12)


def stable_diffusion_3(seed: int = 0) -> Any:
    """A StableDiffusion3Pipeline."""
    return _quiet(StableDiffusion3Pipeline(**_components(seed)))


def without_t5(seed: int = 0) -> Any:
    """A StableDiffusion3Pipeline as people load it to save memory."""
    parts = {**_components(seed), "text_encoder_3": None, "tokenizer_3": None}
    return _quiet(StableDiffusion3Pipeline(**parts))


def img2img(seed: int = 0) -> Any:
    """A StableDiffusion3Img2ImgPipeline."""
    return _quiet(StableDiffusion3Img2ImgPipeline(**_components(seed)))


def inpaint(seed: int = 0) -> Any:
    """A StableDiffusion3InpaintPipeline."""
    return _quiet(StableDiffusion3InpaintPipeline(**_components(seed, channels=16)))


def inpaint_beside_the_noise(seed: int = 0) -> Any:
    """A StableDiffusion3InpaintPipeline whose transformer reads the mask and the picture too."""
    parts = _components(seed, channels=16)
    parts["transformer"] = _transformer(in_channels=33, out_channels=16)
    return _quiet(StableDiffusion3InpaintPipeline(**parts))


def controlnet(seed: int = 0) -> Any:
    """A StableDiffusion3ControlNetPipeline whose ControlNet reads all that the transformer does."""
    parts = _components(seed)
    return _quiet(StableDiffusion3ControlNetPipeline(**parts, controlnet=_controlnet()))


def controlnet_without_pooled(seed: int = 0) -> Any:
    """One whose ControlNet gets zeros for the pooled vector."""
    net = _controlnet(force_zeros_for_pooled_projection=True)
    return _quiet(StableDiffusion3ControlNetPipeline(**_components(seed), controlnet=net))


def controlnet_without_states(seed: int = 0) -> Any:
    """One whose ControlNet reads no states, as those of SD 3.5 Large."""
    net = _controlnet(
        joint_attention_dim=None,
        use_pos_embed=False,
        pos_embed_type=None,
        force_zeros_for_pooled_projection=False,
    )
    return _quiet(StableDiffusion3ControlNetPipeline(**_components(seed), controlnet=net))


def controlnet_inpaint(seed: int = 0) -> Any:
    """A StableDiffusion3ControlNetInpaintingPipeline."""
    net = _controlnet(extra_conditioning_channels=1)
    parts = _components(seed)
    return _quiet(StableDiffusion3ControlNetInpaintingPipeline(**parts, controlnet=net))


def _controlnet(**settings: Any) -> SD3ControlNetModel:
    torch.manual_seed(7)
    sizes = {
        "sample_size": 8,
        "patch_size": 2,
        "in_channels": 4,
        "num_layers": 1,
        "attention_head_dim": 8,
        "num_attention_heads": 2,
        "joint_attention_dim": T5,
        "caption_projection_dim": 16,
        "pooled_projection_dim": sum(POOLED),
        "pos_embed_max_size": 8,
        "force_zeros_for_pooled_projection": False,
    }
    net = SD3ControlNetModel(**{**sizes, **settings})
    fill_zeros(net)
    return net.eval()


def _components(seed: int, channels: int = 4) -> dict[str, Any]:
    torch.manual_seed(seed)
    tokenizer, tokenizer_3 = clip_tokenizer(), t5_tokenizer(77)
    transformer = _transformer(channels, channels)
    vae = AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
        latent_channels=channels,
        use_quant_conv=False,
        use_post_quant_conv=False,
        shift_factor=0.06,
        scaling_factor=1.5,
        sample_size=16,
    )
    t5 = T5Config(
        vocab_size=len(tokenizer_3),
        d_model=T5,
        d_kv=8,
        d_ff=32,
        num_layers=2,
        num_heads=2,
        relative_attention_num_buckets=8,
    )
    return {
        "transformer": transformer,
        "scheduler": FlowMatchEulerDiscreteScheduler(),
        "vae": vae.eval(),
        "text_encoder": projected_clip(tokenizer, FIRST, POOLED[0]),
        "tokenizer": tokenizer,
        "text_encoder_2": projected_clip(tokenizer, SECOND, POOLED[1]),
        "tokenizer_2": clip_tokenizer(),
        "text_encoder_3": T5EncoderModel(t5).eval(),
        "tokenizer_3": tokenizer_3,
    }


def _transformer(in_channels: int, out_channels: int) -> SD3Transformer2DModel:
    transformer = SD3Transformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=in_channels,
        out_channels=out_channels,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        caption_projection_dim=16,
        joint_attention_dim=T5,
        pooled_projection_dim=sum(POOLED),
        pos_embed_max_size=8,
    )
    fill_zeros(transformer)
    return transformer.eval()


def _quiet(pipe: Any) -> Any:
    pipe.set_progress_bar_config(disable=True)
    return pipe
