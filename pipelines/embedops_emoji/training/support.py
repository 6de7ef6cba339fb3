"""What the stages share: checkpoints, learning-rate schedule, the JSON-lines log."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn


class TrainingLog:
    """Appends one JSON object a line: stage, step, seconds since the stage began, metrics."""

    def __init__(self, path: Path, stage: str) -> None:
        self.path = path
        self.stage = stage
        self._began = time.monotonic()
        path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, step: int, metrics: Mapping[str, float | str]) -> None:
        """Append one line; floats are rounded to five digits."""
        line: dict[str, float | str] = {
            "stage": self.stage,
            "step": step,
            "seconds": round(time.monotonic() - self._began, 1),
        }
        for key, value in metrics.items():
            line[key] = float(f"{value:.5g}") if isinstance(value, float) else value
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def cosine(progress: float, floor: float = 0.02) -> float:
    """Learning-rate factor at `progress` in 0..1: a half cosine from 1 down to `floor`."""
    progress = min(max(progress, 0.0), 1.0)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))


def save_tensors(path: Path, tensors: Mapping[str, Tensor], note: Mapping[str, str]) -> None:
    """Write safetensors atomically, so that a reader never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    save_file({k: v.detach().contiguous().cpu() for k, v in tensors.items()}, part, dict(note))
    part.replace(path)


def load_module(module: nn.Module, path: Path) -> nn.Module:
    """Load a module's safetensors strictly.

    Raises:
        FileNotFoundError: the stage that writes `path` has not run.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; run the stage that writes it first")
    module.load_state_dict(load_file(path), strict=True)
    return module


def channels_last(module: nn.Module) -> None:
    """Lay the convolutions' weights out as CPUs prefer them, in place."""
    for parameter in module.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
