"""Qwen-Image: one Qwen2.5-VL encoder behind a chat template, guidance in calls of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from embedops.families import Bundle
from embedops.streams import Conditioning, TextStream
from embedops_pipelines.said import Said
from embedops_pipelines.sequence_text import SequenceText
from embedops_pipelines.text_family import TextFamily
from embedops_pipelines.text_model import TextModel, hidden_state


class QwenImage(TextFamily):
    """Text-to-image, image-to-image, inpainting and ControlNet pipelines of Qwen-Image.

    The system prompt is cut off the states, the user's turn and what follows it are kept. Each
    side is encoded by itself to a length of its own, and there is guidance only where a negative
    prompt is given. Where no row has padding the mask is left out. The ControlNet runs once a
    step, on the positive side.
    """

    family: ClassVar[str] = "qwen-image"
    pipelines: ClassVar[tuple[str, ...]] = (
        "QwenImagePipeline",
        "QwenImageImg2ImgPipeline",
        "QwenImageInpaintPipeline",
        "QwenImageControlNetPipeline",
        "QwenImageControlNetInpaintPipeline",
    )
    denoisers: ClassVar[tuple[str, ...]] = ("transformer",)
    companions: ClassVar[tuple[str, ...]] = ("controlnet",)
    encodes_in_parts: ClassVar[bool] = True
    returns: ClassVar[tuple[str, ...]] = ("embeds", "mask")
    templated: ClassVar[bool] = True
    tiled: ClassVar[tuple[str, ...]] = ("mask",)

    def text_models(self, lora_scale: float | None) -> Sequence[TextModel]:
        states = hidden_state(-1)
        return [SequenceText(self.pipe, "text_encoder", "tokenizer", states, lora_scale)]

    def streams(self, said: Said) -> Sequence[TextStream]:
        return [said.stream("text_encoder", said.values["embeds"], mask=said.values["mask"])]

    def bundle(self, conditioning: Conditioning, inputs: Mapping[str, object]) -> Bundle:
        stream = conditioning.stream("text_encoder")
        return {
            "encoder_hidden_states": stream.embeds,
            "encoder_hidden_states_mask": stream.mask_or_ones,
        }
