"""PixArt pipelines of a few thousand parameters: a T5 encoder and a transformer with cross
attention."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    PixArtAlphaPipeline,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
)
from families.tokenizers import t5_tokenizer
from families.weights import fill_zeros
from transformers import T5Config, T5EncoderModel

TEXT_DIM = 16


def pixart_alpha(seed: int = 0) -> Any:
    """A PixArtAlphaPipeline."""
    return _pipeline(PixArtAlphaPipeline, seed)


def pixart_sigma(seed: int = 0) -> Any:
    """A PixArtSigmaPipeline."""
    return _pipeline(PixArtSigmaPipeline, seed)


def _pipeline(cls: Any, seed: int) -> Any:
    torch.manual_seed(seed)
    tokenizer = t5_tokenizer(32)
    text_encoder = T5EncoderModel(
        T5Config(
            vocab_size=len(tokenizer),
            d_model=TEXT_DIM,
            d_kv=8,
            d_ff=32,
            num_layers=2,
            num_heads=2,
            relative_attention_num_buckets=8,
        )
    )
    transformer = PixArtTransformer2DModel(
        sample_size=8,
        num_layers=2,
        patch_size=2,
        attention_head_dim=8,
        num_attention_heads=2,
        in_channels=4,
        out_channels=8,
        cross_attention_dim=16,
        caption_channels=TEXT_DIM,
        use_additional_conditions=False,
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
        latent_channels=4,
        sample_size=16,
    )
    fill_zeros(transformer)
    pipe = cls(
        tokenizer=tokenizer,
        text_encoder=text_encoder.eval(),
        vae=vae.eval(),
        transformer=transformer.eval(),
        scheduler=DDIMScheduler(clip_sample=False),
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe
