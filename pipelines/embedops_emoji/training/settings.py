"""Every number of the recipe, for the full run and for a smoke run."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Settings:
    """Sizes, schedules and seeds of all stages. Steps count optimiser steps of one batch.

    The denoiser's stage is bounded by wall time as well as by steps, since a machine's speed
    decides how far it gets: the learning rate follows whichever of the two is further along.
    """

    seed: int = 20240
    max_length: int = 24
    text_width: int = 128
    text_layers: int = 4
    text_heads: int = 4
    tokenizer_captions: int = 40_000
    text_steps: int = 900
    text_batch: int = 160
    text_rate: float = 1.2e-3
    vae_channels: tuple[int, ...] = (32, 48, 64)
    vae_crop_steps: int = 4400
    vae_steps: int = 4900
    vae_batch: int = 16
    vae_rate: float = 2e-3
    evaluator_steps: int = 1500
    evaluator_batch: int = 96
    evaluator_rate: float = 2e-3
    evaluator_check: int = 4000
    cache_chunks: int = 12
    cache_chunk: int = 10_000
    unet_channels: tuple[int, ...] = (64, 128, 192)
    unet_head_dim: int = 32
    unet_steps: int = 100_000
    unet_seconds: float = 5400.0
    unet_batch: int = 128
    unet_rate: float = 8e-4
    unet_muon: bool = True
    unet_warmup: int = 200
    unet_ema: float = 0.999
    unet_save_seconds: float = 180.0
    unet_ranks: int = 2
    measure_seeds: tuple[int, ...] = (1, 2, 3)
    measure_per_set: int = 72
    measure_steps: int = 20


FULL = Settings()

SMOKE = replace(
    FULL,
    tokenizer_captions=4000,
    text_steps=6,
    text_batch=32,
    vae_crop_steps=4,
    vae_steps=6,
    vae_batch=8,
    evaluator_steps=6,
    evaluator_batch=16,
    evaluator_check=96,
    cache_chunks=1,
    cache_chunk=256,
    unet_steps=6,
    unet_seconds=60.0,
    unet_batch=16,
    unet_warmup=2,
    unet_save_seconds=5.0,
    unet_ranks=1,
    measure_seeds=(1,),
    measure_per_set=4,
    measure_steps=4,
)
