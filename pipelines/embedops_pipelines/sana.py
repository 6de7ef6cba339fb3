"""Sana, Sana-Sprint and Sana-Video: one Gemma 2 encoder behind an instruction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from embedops.families import Bundle
from embedops.streams import Conditioning, TextStream
from embedops_pipelines.said import Said
from embedops_pipelines.sequence_text import SequenceText
from embedops_pipelines.text_family import TextFamily
from embedops_pipelines.text_model import TextModel


class Sana(TextFamily):
    """Pipelines of the Sana line with guidance, for images and for video.

    A long instruction stands before the prompt and not before the negative prompt; of its states
    the denoiser reads BOS and the last token or two. The caption is put in lower case. Guidance
    comes in one batch, and a ControlNet reads the text as well.
    """

    family: ClassVar[str] = "sana"
    pipelines: ClassVar[tuple[str, ...]] = (
        "SanaPipeline",
        "SanaControlNetPipeline",
        "SanaVideoPipeline",
        "SanaImageToVideoPipeline",
    )
    denoisers: ClassVar[tuple[str, ...]] = ("transformer",)
    companions: ClassVar[tuple[str, ...]] = ("controlnet",)
    returns: ClassVar[tuple[str, ...]] = ("embeds", "mask", "negative_embeds", "negative_mask")
    templated: ClassVar[bool] = True
    template_settings: ClassVar[tuple[str, ...]] = ("complex_human_instruction",)
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


class SanaSprint(Sana):
    """Sana-Sprint, which is distilled: guidance is a number that the denoiser reads, and there is
    no negative prompt."""

    family: ClassVar[str] = "sana-sprint"
    pipelines: ClassVar[tuple[str, ...]] = ("SanaSprintPipeline", "SanaSprintImg2ImgPipeline")
    returns: ClassVar[tuple[str, ...]] = ("embeds", "mask")
