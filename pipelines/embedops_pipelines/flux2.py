"""Flux 2: three layers of a language model behind a chat template, one embedding, no mask."""

from __future__ import annotations

import functools
import inspect
from typing import Any, ClassVar

import torch
from torch import Tensor

from embedops_pipelines.single_encoder import SingleEncoder
from embedops_pipelines.text_model import States


class Flux2(SingleEncoder):
    """Text and image-to-image pipelines of Flux 2, around a Mistral 3.

    The states after three layers are read side by side, system message, template and padding
    included. A call that asks for other layers than the pipeline's own is refused: what it reads
    is not found among them. Guidance is an embedded number, so that there is no negative side.
    """

    family: ClassVar[str] = "flux2"
    pipelines: ClassVar[tuple[str, ...]] = ("Flux2Pipeline",)
    denoisers: ClassVar[tuple[str, ...]] = ("transformer",)
    templated: ClassVar[bool] = True
    returns: ClassVar[tuple[str, ...]] = ("embeds", "_")

    def states(self) -> States:
        parameters = inspect.signature(type(self.pipe).encode_prompt).parameters
        layers = tuple(parameters["text_encoder_out_layers"].default)
        return functools.partial(_side_by_side, layers)


class Flux2Klein(Flux2):
    """Text and image-to-image and inpainting pipelines of Flux 2 Klein, around a Qwen 3.

    The models that are not distilled are guided in calls of their own. The negative side says
    nothing: the pipelines take no negative prompt, only embeddings.
    """

    family: ClassVar[str] = "flux2-klein"
    pipelines: ClassVar[tuple[str, ...]] = (
        "Flux2KleinPipeline",
        "Flux2KleinInpaintPipeline",
        "Flux2KleinKVPipeline",
    )
    encodes_in_parts: ClassVar[bool] = True


def _side_by_side(layers: tuple[int, ...], output: Any) -> Tensor:
    return torch.cat([output.hidden_states[layer] for layer in layers], dim=-1)
