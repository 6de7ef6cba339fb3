"""Pipelines by name: `emoji`, a path or a hub id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline

from embedops.errors import ConfigError
from embedops.extension import unique_entry_points

ENTRY_POINTS = "embedops.models"


def load(
    model: str = "emoji",
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> Any:
    """A pipeline: an installed model by name, else whatever `from_pretrained` finds.

    Args:
        model: `"emoji"` (the embedded default, offline), a folder or a hub id.
        device: where to put it; CUDA where there is one, else the CPU.
        dtype: float16 on CUDA and float32 on the CPU unless given.

    Raises:
        ConfigError: nothing can be loaded under that name.
    """
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    kind = dtype or (torch.float16 if place.type == "cuda" else torch.float32)
    shipped = unique_entry_points(ENTRY_POINTS)
    if model in shipped and not Path(model).exists():
        return shipped[model].load()(device=place, dtype=kind)
    try:
        pipe = DiffusionPipeline.from_pretrained(model, dtype=kind)
    except (OSError, ValueError) as error:
        names = ", ".join(sorted(shipped)) or "none"
        raise ConfigError(
            f"cannot load {model!r}: {error} Give an installed model ({names}), a folder in "
            f"diffusers format or a hub id that this machine can reach."
        ) from error
    return pipe.to(place)


def is_installed(model: str) -> bool:
    """Whether `model` is the name of an installed model."""
    return model in unique_entry_points(ENTRY_POINTS)
