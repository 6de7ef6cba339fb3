"""Families with one text encoder whose states are all that the denoiser reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from embedops.families import Bundle
from embedops.streams import Conditioning, TextStream
from embedops_pipelines.said import Said
from embedops_pipelines.sequence_text import SequenceText
from embedops_pipelines.text_family import TextFamily
from embedops_pipelines.text_model import States, TextModel, last_hidden_state

NAME = "text_encoder"


class SingleEncoder(TextFamily):
    """One T5 or language model. The subclass says what it is called and what it returns."""

    mask_argument: ClassVar[str | None] = None
    """The denoiser's argument for the mask; None where it takes none."""

    def states(self) -> States:
        """What of the encoder's output the denoiser reads."""
        return last_hidden_state

    def text_models(self, lora_scale: float | None) -> Sequence[TextModel]:
        return [SequenceText(self.pipe, NAME, "tokenizer", self.states(), lora_scale)]

    def streams(self, said: Said) -> Sequence[TextStream]:
        return [said.stream(NAME, said.values["embeds"], mask=said.values.get("mask"))]

    def bundle(self, conditioning: Conditioning, inputs: Mapping[str, object]) -> Bundle:
        stream = conditioning.stream(NAME)
        bundle: Bundle = {"encoder_hidden_states": stream.embeds}
        if self.mask_argument is not None:
            bundle[self.mask_argument] = stream.mask_or_ones
        return bundle
