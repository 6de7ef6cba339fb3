"""Sana pipelines of a few thousand parameters: a Gemma 2 encoder behind an instruction, a
transformer of linear attention that reads the text by cross attention."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import (
    AutoencoderDC,
    AutoencoderKLWan,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    SanaControlNetModel,
    SanaControlNetPipeline,
    SanaImageToVideoPipeline,
    SanaPipeline,
    SanaSprintImg2ImgPipeline,
    SanaSprintPipeline,
    SanaTransformer2DModel,
    SanaVideoPipeline,
    SanaVideoTransformer3DModel,
    SCMScheduler,
)
from families.tokenizers import llm_tokenizer
from families.weights import fill_zeros
from transformers import Gemma2Config, Gemma2Model

TEXT_DIM = 16
HEAD_DIM = 12
DENOISER = {
    "in_channels": 4,
    "out_channels": 4,
    "num_attention_heads": 2,
    "attention_head_dim": HEAD_DIM,
    "num_layers": 2,
    "num_cross_attention_heads": 2,
    "cross_attention_head_dim": HEAD_DIM,
    "cross_attention_dim": 2 * HEAD_DIM,
    "caption_channels": TEXT_DIM,
}


def sana(seed: int = 0) -> Any:
    """A SanaPipeline."""
    torch.manual_seed(seed)
    return _ready(SanaPipeline, transformer=_transformer(), scheduler=_flow(), vae=_vae())


def sana_controlnet(seed: int = 0) -> Any:
    """A SanaControlNetPipeline."""
    torch.manual_seed(seed)
    controlnet = SanaControlNetModel(sample_size=8, **{**DENOISER, "num_layers": 1})
    fill_zeros(controlnet)
    return _ready(
        SanaControlNetPipeline,
        transformer=_transformer(),
        controlnet=controlnet.eval(),
        scheduler=_flow(),
        vae=_vae(),
    )


def sana_sprint(seed: int = 0) -> Any:
    """A SanaSprintPipeline."""
    return _sprint(SanaSprintPipeline, seed)


def sana_sprint_img2img(seed: int = 0) -> Any:
    """A SanaSprintImg2ImgPipeline."""
    return _sprint(SanaSprintImg2ImgPipeline, seed)


def sana_video(seed: int = 0) -> Any:
    """A SanaVideoPipeline."""
    return _video(SanaVideoPipeline, _flow(), seed)


def sana_image_to_video(seed: int = 0) -> Any:
    """A SanaImageToVideoPipeline."""
    return _video(SanaImageToVideoPipeline, FlowMatchEulerDiscreteScheduler(shift=3.0), seed)


def _sprint(cls: Any, seed: int) -> Any:
    torch.manual_seed(seed)
    transformer = _transformer(guidance_embeds=True, qk_norm="rms_norm_across_heads")
    return _ready(cls, transformer=transformer, scheduler=SCMScheduler(), vae=_vae())


def _video(cls: Any, scheduler: Any, seed: int) -> Any:
    torch.manual_seed(seed)
    transformer = SanaVideoTransformer3DModel(sample_size=8, patch_size=(1, 2, 2), **DENOISER)
    fill_zeros(transformer)
    vae = AutoencoderKLWan(
        base_dim=4,
        z_dim=4,
        dim_mult=[1, 1],
        num_res_blocks=1,
        temperal_downsample=[True],
        scale_factor_spatial=2,
        scale_factor_temporal=2,
        latents_mean=[0.0] * 4,
        latents_std=[1.0] * 4,
    )
    return _ready(cls, transformer=transformer.eval(), scheduler=scheduler, vae=vae.eval())


def _transformer(**settings: Any) -> SanaTransformer2DModel:
    transformer = SanaTransformer2DModel(sample_size=8, patch_size=1, **DENOISER, **settings)
    fill_zeros(transformer)
    return transformer.eval()


def _flow() -> DPMSolverMultistepScheduler:
    return DPMSolverMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
    )


def _vae() -> AutoencoderDC:
    return AutoencoderDC(
        latent_channels=4,
        attention_head_dim=2,
        encoder_block_types=("ResBlock", "ResBlock"),
        decoder_block_types=("ResBlock", "ResBlock"),
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        encoder_layers_per_block=(1, 1),
        decoder_layers_per_block=(1, 1),
        encoder_qkv_multiscales=((), ()),
        decoder_qkv_multiscales=((), ()),
        upsample_block_type="interpolate",
        downsample_block_type="stride_conv",
        decoder_norm_types="rms_norm",
    ).eval()


def _ready(cls: Any, **components: Any) -> Any:
    tokenizer = llm_tokenizer(bos="<bos>", adds_bos=True)
    text_encoder = Gemma2Model(
        Gemma2Config(
            vocab_size=len(tokenizer),
            hidden_size=TEXT_DIM,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            head_dim=8,
            query_pre_attn_scalar=8,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    pipe = cls(tokenizer=tokenizer, text_encoder=text_encoder.eval(), **components)
    pipe.set_progress_bar_config(disable=True)
    return pipe
