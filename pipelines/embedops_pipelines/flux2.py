"""Flux 2 Klein: three layers of a Qwen3 behind a chat template, guidance in calls of its own."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from embedops_pipelines.single_encoder import SingleEncoder
from embedops_pipelines.text_model import States

_LAYERS = (9, 18, 27)


class Flux2Klein(SingleEncoder):
    """Text-to-image pipelines of Flux 2 Klein.

    The states after layers 9, 18 and 27 are read side by side, template and padding included and
    without a mask; a call that asks for other layers is refused. The negative side says nothing:
    the pipeline takes no negative prompt.
    """

    family: ClassVar[str] = "flux2-klein"
    pipelines: ClassVar[tuple[str, ...]] = ("Flux2KleinPipeline",)
    denoisers: ClassVar[tuple[str, ...]] = ("transformer",)
    encodes_in_parts: ClassVar[bool] = True
    templated: ClassVar[bool] = True
    returns: ClassVar[tuple[str, ...]] = ("embeds", "_")

    def states(self) -> States:
        return _three_layers


def _three_layers(output: Any) -> Tensor:
    return torch.cat([output.hidden_states[layer] for layer in _LAYERS], dim=-1)
