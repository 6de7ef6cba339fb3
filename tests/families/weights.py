"""Random weights that let the text through to the output."""

from __future__ import annotations

import torch
from torch import nn


def fill_zeros(module: nn.Module, std: float = 0.1) -> None:
    """Give what is initialised to zero, such as gates and last layers, random values instead."""
    for parameter in module.parameters():
        if not bool(parameter.any()):
            torch.nn.init.normal_(parameter, std=std)
