"""Stopping a learning run and going on as if nothing had happened."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from embedops.errors import ConfigError

FILE = "checkpoint.safetensors"


@dataclass
class Progress:
    """How far a run has come.

    Attributes:
        step: optimiser steps done.
        best_step: the step of the best check so far.
        best_loss: its loss on fixed noise; infinite before the first.
        best: the parameters then.
    """

    step: int
    best_step: int
    best_loss: float
    best: dict[str, Tensor]


def save(
    path: Path,
    settings: str,
    progress: Progress,
    parameters: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
) -> None:
    """Write everything that the next step depends on, whole or not at all.

    Raises:
        ConfigError: the folder cannot be written or is full; the last checkpoint stays.
    """
    tensors: dict[str, Tensor] = {}
    for name, parameter in parameters.items():
        tensors[f"now.{name}"] = parameter
        tensors[f"best.{name}"] = progress.best[name]
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer.{name}.{key}"] = value
    about = {
        "settings": settings,
        "step": str(progress.step),
        "best_step": str(progress.best_step),
        "best_loss": json.dumps(progress.best_loss),
    }
    part = path.with_suffix(".part")
    try:
        own = {n: t.detach().cpu().contiguous().clone() for n, t in tensors.items()}
        save_file(own, part, about)
        part.replace(path)
    except (OSError, SafetensorError) as error:
        part.unlink(missing_ok=True)
        raise ConfigError(
            f"the checkpoint {path} cannot be written: {error}. Make room or choose another "
            f"folder; the last one that was written can be gone on from."
        ) from error


@torch.no_grad()
def restore(
    path: Path,
    settings: str,
    parameters: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
) -> Progress:
    """Load the last checkpoint in place; a fresh start where there is none.

    Raises:
        ConfigError: it was written with other settings or pictures, or is damaged.
    """
    if not path.is_file():
        return Progress(0, 0, float("inf"), {})
    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise ConfigError(f"the checkpoint {path} cannot be read: {error}. Remove it.") from error
    if about.get("settings") != settings:
        raise ConfigError(
            f"{path} belongs to a run with other settings or pictures. Choose another folder, or "
            f"remove it to begin anew."
        )
    for name, parameter in parameters.items():
        parameter.copy_(tensors[f"now.{name}"])
        prefix = f"optimizer.{name}."
        state = {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}
        # AdamW counts its steps on the CPU.
        optimizer.state[parameter] = {
            key: value if key == "step" else value.to(parameter.device)
            for key, value in state.items()
        }
    return Progress(
        int(about["step"]),
        int(about["best_step"]),
        float(json.loads(about["best_loss"])),
        {name: tensors[f"best.{name}"].to(p.device) for name, p in parameters.items()},
    )
