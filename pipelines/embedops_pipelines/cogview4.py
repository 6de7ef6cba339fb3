"""CogView4: one GLM encoder, guidance in calls of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from embedops.families import Bundle
from embedops.streams import Conditioning, TextStream
from embedops_pipelines.said import Said
from embedops_pipelines.sequence_text import SequenceText
from embedops_pipelines.text_family import TextFamily
from embedops_pipelines.text_model import TextModel, hidden_state


class CogView4(TextFamily):
    """Text-to-image pipelines of CogView4, with and without a control image.

    The denoiser reads the last state but one. Texts are padded on the left, to the longest of the
    batch and then to a multiple of 16, and neither encoder nor denoiser gets a mask: a text's
    states depend on the length of its neighbours, and one that is longer than all of them cannot
    take the place of a single row.
    """

    family: ClassVar[str] = "cogview4"
    pipelines: ClassVar[tuple[str, ...]] = ("CogView4Pipeline", "CogView4ControlPipeline")
    denoisers: ClassVar[tuple[str, ...]] = ("transformer",)
    returns: ClassVar[tuple[str, ...]] = ("embeds", "negative_embeds")
    pads_to_longest: ClassVar[bool] = True

    def text_models(self, lora_scale: float | None) -> Sequence[TextModel]:
        states = hidden_state(-2)
        return [SequenceText(self.pipe, "text_encoder", "tokenizer", states, lora_scale)]

    def streams(self, said: Said) -> Sequence[TextStream]:
        return [said.stream("text_encoder", said.values["embeds"])]

    def bundle(self, conditioning: Conditioning, inputs: Mapping[str, object]) -> Bundle:
        return {"encoder_hidden_states": conditioning.stream("text_encoder").embeds}
