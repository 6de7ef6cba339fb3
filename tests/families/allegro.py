"""An Allegro pipeline of a few thousand parameters."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import AllegroPipeline, AllegroTransformer3DModel, DDIMScheduler
from families.t5_encoders import t5
from families.tokenizers import t5_tokenizer
from families.weights import fill_zeros

TEXT_DIM = 16


def allegro(seed: int = 0) -> Any:
    """An AllegroPipeline."""
    torch.manual_seed(seed)
    tokenizer = t5_tokenizer(32)
    transformer = AllegroTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=4,
        out_channels=4,
        num_layers=2,
        cross_attention_dim=24,
        sample_width=4,
        sample_height=4,
        sample_frames=2,
        caption_channels=TEXT_DIM,
    )
    fill_zeros(transformer)
    pipe = AllegroPipeline(
        tokenizer=tokenizer,
        text_encoder=t5(tokenizer, TEXT_DIM),
        transformer=transformer.eval(),
        vae=None,
        scheduler=DDIMScheduler(clip_sample=False),
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe
