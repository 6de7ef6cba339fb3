"""CogVideoX: one T5 encoder without a mask, guidance in one batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from embedops.families import Bundle
from embedops.streams import Conditioning, TextStream
from embedops_pipelines.said import Said
from embedops_pipelines.sequence_text import SequenceText
from embedops_pipelines.text_family import TextFamily
from embedops_pipelines.text_model import TextModel


class CogVideoX(TextFamily):
    """Text-to-video, image-to-video and video-to-video pipelines of CogVideoX.

    Every prompt is padded to 226 tokens, and the padding is read: neither the encoder nor the
    transformer gets a mask.
    """

    family: ClassVar[str] = "cogvideox"
    pipelines: ClassVar[tuple[str, ...]] = (
        "CogVideoXPipeline",
        "CogVideoXImageToVideoPipeline",
        "CogVideoXVideoToVideoPipeline",
    )
    denoisers: ClassVar[tuple[str, ...]] = ("transformer",)
    returns: ClassVar[tuple[str, ...]] = ("embeds", "negative_embeds")

    def text_models(self, lora_scale: float | None) -> Sequence[TextModel]:
        return [SequenceText(self.pipe, "text_encoder", "tokenizer", lora_scale=lora_scale)]

    def streams(self, said: Said) -> Sequence[TextStream]:
        return [said.stream("text_encoder", said.values["embeds"])]

    def bundle(self, conditioning: Conditioning, inputs: Mapping[str, object]) -> Bundle:
        return {"encoder_hidden_states": conditioning.stream("text_encoder").embeds}
