"""LTX-Video: one T5 encoder, a mask for the transformer alone, guidance in one batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from embedops.families import Bundle
from embedops.streams import Conditioning, TextStream
from embedops_pipelines.said import Said
from embedops_pipelines.sequence_text import SequenceText
from embedops_pipelines.text_family import TextFamily
from embedops_pipelines.text_model import TextModel


class Ltx(TextFamily):
    """Text-to-video and image-to-video pipelines of LTX-Video.

    The encoder attends to the padding, the transformer does not.
    """

    family: ClassVar[str] = "ltx"
    pipelines: ClassVar[tuple[str, ...]] = (
        "LTXPipeline",
        "LTXImageToVideoPipeline",
        "LTXConditionPipeline",
    )
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
