"""Kandinsky 5: a Qwen2.5-VL behind a chat template, CLIP's pooled vector, calls of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from embedops.families import Bundle
from embedops.streams import Conditioning, TextStream
from embedops_pipelines.clip import ClipText
from embedops_pipelines.said import Said
from embedops_pipelines.sequence_text import SequenceText
from embedops_pipelines.text_family import TextFamily
from embedops_pipelines.text_model import TextModel, hidden_state


class Kandinsky5(TextFamily):
    """Text-to-image, text-to-video and image-guided pipelines of Kandinsky 5.

    Qwen is run without a mask on texts padded to the longest of the call, and the template's first
    tokens are cut off. The transformer gets no mask either; the positions that it rotates by are
    as many as the longest text's tokens, and move with a text of another length.
    """

    family: ClassVar[str] = "kandinsky5"
    pipelines: ClassVar[tuple[str, ...]] = (
        "Kandinsky5T2VPipeline",
        "Kandinsky5I2VPipeline",
        "Kandinsky5T2IPipeline",
        "Kandinsky5I2IPipeline",
    )
    denoisers: ClassVar[tuple[str, ...]] = ("transformer",)
    encodes_in_parts: ClassVar[bool] = True
    returns: ClassVar[tuple[str, ...]] = ("embeds", "pooled", "_")
    templated: ClassVar[bool] = True
    pads_to_longest: ClassVar[bool] = True

    def text_models(self, lora_scale: float | None) -> Sequence[TextModel]:
        states = hidden_state(-1)
        return [
            SequenceText(self.pipe, "text_encoder", "tokenizer", states, lora_scale),
            ClipText(self.pipe, "text_encoder_2", "tokenizer_2", lora_scale=lora_scale),
        ]

    def streams(self, said: Said) -> Sequence[TextStream]:
        pooled = said.values["pooled"]
        states = said.states("text_encoder_2", like=pooled)
        return [
            said.stream("text_encoder", said.values["embeds"]),
            said.stream("text_encoder_2", states, pooled=pooled),
        ]

    def bundle(self, conditioning: Conditioning, inputs: Mapping[str, object]) -> Bundle:
        return {
            "encoder_hidden_states": conditioning.stream("text_encoder").embeds,
            "pooled_projections": conditioning.stream("text_encoder_2").pooled_vector,
        }

    def lengthened(self, inputs: dict[str, object], length: int) -> dict[str, object]:
        places = inputs["text_rope_pos"]
        device = places.device if isinstance(places, Tensor) else None
        return {**inputs, "text_rope_pos": torch.arange(length, device=device)}
