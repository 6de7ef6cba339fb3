"""Wan 2.1 and 2.2: one UMT5 encoder, guidance in calls of its own, one or two transformers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from embedops.families import Bundle
from embedops.streams import Conditioning, TextStream
from embedops_pipelines.said import Said
from embedops_pipelines.sequence_text import SequenceText
from embedops_pipelines.text_family import TextFamily
from embedops_pipelines.text_model import TextModel


class Wan(TextFamily):
    """Text-to-video, image-to-video and video-to-video pipelines of Wan.

    What follows a prompt is set to zero after encoding, and the transformer reads it without a
    mask. Wan 2.2 begins with one transformer and goes on with another: a step is a step, whichever
    of the two takes it.
    """

    family: ClassVar[str] = "wan"
    pipelines: ClassVar[tuple[str, ...]] = (
        "WanPipeline",
        "WanImageToVideoPipeline",
        "WanVideoToVideoPipeline",
    )
    denoisers: ClassVar[tuple[str, ...]] = ("transformer", "transformer_2")
    returns: ClassVar[tuple[str, ...]] = ("embeds", "negative_embeds")

    def text_models(self, lora_scale: float | None) -> Sequence[TextModel]:
        return [SequenceText(self.pipe, "text_encoder", "tokenizer", lora_scale=lora_scale)]

    def streams(self, said: Said) -> Sequence[TextStream]:
        return [said.stream("text_encoder", said.values["embeds"])]

    def bundle(self, conditioning: Conditioning, inputs: Mapping[str, object]) -> Bundle:
        return {"encoder_hidden_states": conditioning.stream("text_encoder").embeds}
