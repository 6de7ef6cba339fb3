"""CogView4 pipelines of a few thousand parameters: a GLM encoder and a transformer that attends to
text and image together."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    CogView4ControlPipeline,
    CogView4Pipeline,
    CogView4Transformer2DModel,
    FlowMatchEulerDiscreteScheduler,
)
from families.tokenizers import llm_tokenizer
from families.weights import fill_zeros
from transformers import GlmConfig, GlmModel

TEXT_DIM, CHANNELS = 16, 4


def cogview4(seed: int = 0) -> Any:
    """A CogView4Pipeline."""
    return _pipeline(CogView4Pipeline, CHANNELS, seed)


def cogview4_control(seed: int = 0) -> Any:
    """A CogView4ControlPipeline, which reads the control image beside the noise."""
    return _pipeline(CogView4ControlPipeline, 2 * CHANNELS, seed)


def _pipeline(cls: Any, in_channels: int, seed: int) -> Any:
    torch.manual_seed(seed)
    tokenizer = llm_tokenizer(
        bos="<sop>", adds_bos=True, eos="<|endoftext|>", pad="<|endoftext|>", padding_side="left"
    )
    text_encoder = GlmModel(
        GlmConfig(
            vocab_size=len(tokenizer),
            hidden_size=TEXT_DIM,
            intermediate_size=32,
            num_hidden_layers=3,
            num_attention_heads=2,
            num_key_value_heads=2,
            head_dim=8,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )
    transformer = CogView4Transformer2DModel(
        patch_size=2,
        in_channels=in_channels,
        out_channels=CHANNELS,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        text_embed_dim=TEXT_DIM,
        time_embed_dim=8,
        condition_dim=4,
        pos_embed_max_size=16,
        sample_size=8,
        rope_axes_dim=(16, 16),
    )
    fill_zeros(transformer)
    vae = AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
        latent_channels=CHANNELS,
        sample_size=16,
    )
    pipe = cls(
        tokenizer=tokenizer,
        text_encoder=text_encoder.eval(),
        vae=vae.eval(),
        transformer=transformer.eval(),
        scheduler=FlowMatchEulerDiscreteScheduler(
            base_shift=0.25,
            max_shift=0.75,
            base_image_seq_len=256,
            use_dynamic_shifting=True,
            time_shift_type="linear",
        ),
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe
