"""Settings of DETEX."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from embedops.learning.method import PLACEHOLDER, MethodConfig

POSE, BACKGROUND = "{pose}", "{background}"


class DetexConfig(MethodConfig):
    """Settings of DETEX. The paper gives the parts and the losses; every number is ours.

    Attributes:
        init: words for what the pictures show; the subject starts from their rows.
        mode: overlay learns what the cross-attention's keys and values add as well, as the paper
            tunes them; embeddings leaves the denoiser alone, which deviates from it.
        scene: what stands in the placeholder's place where the whole picture is described.
        alone: the share of prompts that name the subject alone and score its pixels alone.
        attention: λ, the weight of the attention loss.
        rank: of what keys and values add; 0 for full matrices.
        hidden: width of the mappers.
        mapper_rate: their learning rate.
        overlay_rate: the learning rate of what keys and values add, as low-rank adapters are
            usually learnt.
        image_encoder: a CLIP image encoder, by folder or hub id, whose features the mappers read.
            Without one the pipeline's own is taken, or else its latents on a coarse grid.
        steps: optimiser steps.
    """

    init: str = "object"
    mode: Literal["overlay", "embeddings"] = "overlay"
    scene: str = f"{PLACEHOLDER} with {POSE} pose in {BACKGROUND} background"
    alone: float = Field(default=0.5, ge=0, le=1)
    attention: float = Field(default=0.1, ge=0)
    rank: int = Field(default=16, ge=0)
    hidden: int = Field(default=128, ge=1)
    mapper_rate: float = Field(default=1e-3, gt=0)
    overlay_rate: float = Field(default=1e-4, gt=0)
    image_encoder: str | None = None
    steps: int = Field(default=500, ge=1)

    @field_validator("scene")
    @classmethod
    def _has_all(cls, value: str) -> str:
        missing = [part for part in (PLACEHOLDER, POSE, BACKGROUND) if value.count(part) != 1]
        if missing:
            raise ValueError(f"the scene needs {', '.join(missing)} exactly once")
        return value
