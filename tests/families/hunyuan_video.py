"""HunyuanVideo pipelines of a few thousand parameters: a Llama, a CLIP and a transformer."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    HunyuanVideoPipeline,
    HunyuanVideoTransformer3DModel,
)
from families.clip_encoders import clip
from families.llm_encoders import llama
from families.tokenizers import clip_tokenizer, llm_tokenizer
from families.weights import fill_zeros

TEXT_DIM, POOLED = 16, 8
TEMPLATE = {"template": "<|im_start|>draw:\n{}<|im_end|>", "crop_start": 4}
"""A template that the tiny tokenizer spells in few tokens; the first four are cut off."""


def hunyuan_video(seed: int = 0) -> Any:
    """A HunyuanVideoPipeline."""
    torch.manual_seed(seed)
    tokenizer, tokenizer_2 = llm_tokenizer(bos="<bos>", adds_bos=True), clip_tokenizer()
    transformer = HunyuanVideoTransformer3DModel(
        in_channels=4,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=10,
        num_layers=2,
        num_single_layers=1,
        num_refiner_layers=1,
        patch_size=1,
        patch_size_t=1,
        guidance_embeds=True,
        text_embed_dim=TEXT_DIM,
        pooled_projection_dim=POOLED,
        rope_axes_dim=(2, 4, 4),
    )
    fill_zeros(transformer)
    pipe = HunyuanVideoPipeline(
        text_encoder=llama(tokenizer, TEXT_DIM),
        tokenizer=tokenizer,
        text_encoder_2=clip(tokenizer_2, POOLED),
        tokenizer_2=tokenizer_2,
        transformer=transformer.eval(),
        vae=None,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=7.0),
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe
