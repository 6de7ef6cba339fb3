"""An AuraFlow pipeline of a few thousand parameters."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import AuraFlowPipeline, AuraFlowTransformer2DModel, FlowMatchEulerDiscreteScheduler
from families.t5_encoders import umt5
from families.tokenizers import t5_tokenizer
from families.weights import fill_zeros

TEXT_DIM = 16


def aura_flow(seed: int = 0) -> Any:
    """An AuraFlowPipeline."""
    torch.manual_seed(seed)
    tokenizer = t5_tokenizer()
    transformer = AuraFlowTransformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=4,
        num_mmdit_layers=1,
        num_single_dit_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=TEXT_DIM,
        caption_projection_dim=16,
        pos_embed_max_size=16,
    )
    fill_zeros(transformer)
    pipe = AuraFlowPipeline(
        tokenizer=tokenizer,
        text_encoder=umt5(tokenizer, TEXT_DIM),
        transformer=transformer.eval(),
        vae=None,
        scheduler=FlowMatchEulerDiscreteScheduler(),
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe
