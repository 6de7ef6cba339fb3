"""Mochi: one T5 encoder with a mask, guidance in one batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from embedops.families import Bundle
from embedops.streams import Conditioning, TextStream
from embedops_pipelines.said import Said
from embedops_pipelines.sequence_text import SequenceText
from embedops_pipelines.text_family import TextFamily
from embedops_pipelines.text_model import TextModel


class Mochi(TextFamily):
    """Text-to-video pipelines of Mochi.

    The mask hides the padding from the encoder and from the transformer. With `force_zeros` an
    empty text zeroes the whole batch that it is encoded with.
    """

    family: ClassVar[str] = "mochi"
    pipelines: ClassVar[tuple[str, ...]] = ("MochiPipeline",)
    denoisers: ClassVar[tuple[str, ...]] = ("transformer",)
    returns: ClassVar[tuple[str, ...]] = ("embeds", "mask", "negative_embeds", "negative_mask")
    tiled: ClassVar[tuple[str, ...]] = ("mask",)

    def text_models(self, lora_scale: float | None) -> Sequence[TextModel]:
        return [SequenceText(self.pipe, "text_encoder", "tokenizer", lora_scale=lora_scale)]

    def streams(self, said: Said) -> Sequence[TextStream]:
        return [said.stream("text_encoder", said.values["embeds"], mask=said.values["mask"])]

    def bundle(self, conditioning: Conditioning, inputs: Mapping[str, object]) -> Bundle:
        stream = conditioning.stream("text_encoder")
        return {
            "encoder_hidden_states": stream.embeds,
            "encoder_attention_mask": stream.mask_or_ones,
        }
