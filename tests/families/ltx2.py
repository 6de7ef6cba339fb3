"""LTX-2 pipelines of a few thousand parameters: a Gemma 3 in all of its layers, connectors for
picture and sound, and a transformer of both."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import (
    AutoencoderKLLTX2Audio,
    AutoencoderKLLTX2Video,
    FlowMatchEulerDiscreteScheduler,
    LTX2ImageToVideoPipeline,
    LTX2Pipeline,
    LTX2VideoTransformer3DModel,
)
from diffusers.pipelines.ltx2 import LTX2TextConnectors, LTX2Vocoder
from families.tokenizers import llm_tokenizer
from families.weights import fill_zeros
from transformers import Gemma3Config, Gemma3ForConditionalGeneration

TEXT_DIM, LAYERS, CHANNELS = 16, 2, 4


def ltx2(seed: int = 0) -> Any:
    """An LTX2Pipeline."""
    return _pipeline(LTX2Pipeline, seed)


def ltx2_image_to_video(seed: int = 0) -> Any:
    """An LTX2ImageToVideoPipeline."""
    return _pipeline(LTX2ImageToVideoPipeline, seed)


def _pipeline(cls: Any, seed: int) -> Any:
    torch.manual_seed(seed)
    tokenizer = llm_tokenizer(bos="<bos>", adds_bos=True, padding_side="left")
    transformer = LTX2VideoTransformer3DModel(
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        num_attention_heads=2,
        attention_head_dim=8,
        cross_attention_dim=16,
        audio_in_channels=CHANNELS,
        audio_out_channels=CHANNELS,
        audio_num_attention_heads=2,
        audio_attention_head_dim=4,
        audio_cross_attention_dim=8,
        num_layers=2,
        caption_channels=TEXT_DIM,
        rope_double_precision=False,
    )
    fill_zeros(transformer)
    connectors = LTX2TextConnectors(
        caption_channels=TEXT_DIM,
        text_proj_in_factor=LAYERS + 1,
        video_connector_num_attention_heads=2,
        video_connector_attention_head_dim=8,
        video_connector_num_layers=1,
        video_connector_num_learnable_registers=8,
        audio_connector_num_attention_heads=2,
        audio_connector_attention_head_dim=8,
        audio_connector_num_layers=1,
        audio_connector_num_learnable_registers=8,
        connector_rope_base_seq_len=32,
        rope_double_precision=False,
    )
    pipe = cls(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=_video_vae(),
        audio_vae=_audio_vae(),
        text_encoder=_gemma(tokenizer),
        tokenizer=tokenizer,
        connectors=connectors.eval(),
        transformer=transformer.eval(),
        vocoder=LTX2Vocoder(
            in_channels=8,
            hidden_channels=8,
            out_channels=1,
            upsample_kernel_sizes=[4, 4],
            upsample_factors=[2, 2],
            resnet_kernel_sizes=[3],
            resnet_dilations=[[1, 3, 5]],
        ),
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _gemma(tokenizer: Any) -> Any:
    config = Gemma3Config(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": TEXT_DIM,
            "intermediate_size": 32,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "head_dim": 8,
            "pad_token_id": tokenizer.pad_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "bos_token_id": tokenizer.bos_token_id,
        },
        vision_config={
            "hidden_size": 8,
            "intermediate_size": 8,
            "num_hidden_layers": 1,
            "num_attention_heads": 1,
            "image_size": 16,
            "patch_size": 8,
        },
        image_token_index=len(tokenizer) - 1,
        boi_token_index=len(tokenizer) - 2,
        eoi_token_index=len(tokenizer) - 3,
        mm_tokens_per_image=4,
    )
    return Gemma3ForConditionalGeneration(config).eval()


def _video_vae() -> Any:
    return AutoencoderKLLTX2Video(
        latent_channels=CHANNELS,
        block_out_channels=(8,),
        decoder_block_out_channels=(8,),
        layers_per_block=(1, 1),
        decoder_layers_per_block=(1, 1),
        down_block_types=("LTX2VideoDownBlock3D",),
        spatio_temporal_scaling=(True,),
        decoder_spatio_temporal_scaling=(True,),
        decoder_inject_noise=(False, False),
        downsample_type=("spatial",),
        upsample_type=("spatiotemporal",),
        upsample_residual=(False,),
        upsample_factor=(1,),
        patch_size=1,
        patch_size_t=1,
    ).eval()


def _audio_vae() -> Any:
    return AutoencoderKLLTX2Audio(
        base_channels=4,
        output_channels=1,
        ch_mult=(1, 1, 1),
        num_res_blocks=1,
        in_channels=1,
        resolution=32,
        latent_channels=2,
        mel_bins=8,
    ).eval()
