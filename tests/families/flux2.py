"""Flux 2 pipelines of a few thousand parameters: a Qwen3 of many thin layers, a transformer."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import (
    AutoencoderKLFlux2,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
)
from families.tokenizers import llm_tokenizer
from families.weights import fill_zeros
from transformers import Qwen3Config, Qwen3ForCausalLM

TEXT_DIM, LAYERS = 8, 27


def flux2_klein(seed: int = 0) -> Any:
    """A Flux2KleinPipeline."""
    torch.manual_seed(seed)
    tokenizer = llm_tokenizer()
    text_encoder = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(tokenizer),
            hidden_size=TEXT_DIM,
            intermediate_size=16,
            num_hidden_layers=LAYERS,
            num_attention_heads=2,
            num_key_value_heads=2,
            head_dim=4,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            initializer_range=0.3,
        )
    )
    transformer = Flux2Transformer2DModel(
        in_channels=4,
        num_layers=2,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=3 * TEXT_DIM,
        timestep_guidance_channels=16,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=False,
    )
    fill_zeros(transformer)
    vae = AutoencoderKLFlux2(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=1,
        latent_channels=1,
        norm_num_groups=4,
        sample_size=16,
    )
    pipe = Flux2KleinPipeline(
        tokenizer=tokenizer,
        text_encoder=text_encoder.eval(),
        transformer=transformer.eval(),
        vae=vae.eval(),
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe
