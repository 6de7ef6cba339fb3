"""A HiDream pipeline of a few thousand parameters: two CLIPs, a T5, a Llama, a transformer."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    HiDreamImagePipeline,
    HiDreamImageTransformer2DModel,
)
from families.clip_encoders import projected_clip
from families.llm_encoders import llama_for_text
from families.t5_encoders import t5
from families.tokenizers import clip_tokenizer, llm_tokenizer, t5_tokenizer
from families.weights import fill_zeros


def hidream(seed: int = 0) -> Any:
    """A HiDreamImagePipeline."""
    torch.manual_seed(seed)
    tokenizers = [
        clip_tokenizer(),
        clip_tokenizer(),
        t5_tokenizer(),
        llm_tokenizer(bos="<bos>", adds_bos=True),
    ]
    transformer = HiDreamImageTransformer2DModel(
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        caption_channels=[32, 32],
        text_emb_dim=8 + 12,
        num_routed_experts=2,
        num_activated_experts=1,
        axes_dims_rope=(4, 2, 2),
        max_resolution=(8, 8),
        llama_layers=[0, 1],
        force_inference_output=True,
    )
    fill_zeros(transformer)
    pipe = HiDreamImagePipeline(
        text_encoder=projected_clip(tokenizers[0], 32, 8, 128),
        tokenizer=tokenizers[0],
        text_encoder_2=projected_clip(tokenizers[1], 32, 12, 128),
        tokenizer_2=tokenizers[1],
        text_encoder_3=t5(tokenizers[2], 32),
        tokenizer_3=tokenizers[2],
        text_encoder_4=llama_for_text(tokenizers[3], 32),
        tokenizer_4=tokenizers[3],
        transformer=transformer.eval(),
        vae=None,
        scheduler=FlowMatchEulerDiscreteScheduler(),
    )
    pipe.default_sample_size = 4  # the pipeline draws everything at this size, 8 pixels each
    pipe.set_progress_bar_config(disable=True)
    return pipe
