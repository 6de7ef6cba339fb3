"""Lumina 2: one Gemma 2 encoder behind a system prompt, guidance in calls of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from embedops.families import Bundle
from embedops.streams import Conditioning, TextStream
from embedops_pipelines.said import Said
from embedops_pipelines.sequence_text import SequenceText
from embedops_pipelines.text_family import TextFamily
from embedops_pipelines.text_model import TextModel, hidden_state


class Lumina2(TextFamily):
    """The text-to-image pipeline of Lumina 2.

    The denoiser reads the last state but one of the system prompt and the prompt together; the
    negative prompt has no system prompt before it. With `cfg_trunc_ratio` the last steps run
    without the negative side.
    """

    family: ClassVar[str] = "lumina2"
    pipelines: ClassVar[tuple[str, ...]] = ("Lumina2Pipeline",)
    denoisers: ClassVar[tuple[str, ...]] = ("transformer",)
    returns: ClassVar[tuple[str, ...]] = ("embeds", "mask", "negative_embeds", "negative_mask")
    templated: ClassVar[bool] = True
    template_settings: ClassVar[tuple[str, ...]] = ("system_prompt",)
    tiled: ClassVar[tuple[str, ...]] = ("mask",)

    def text_models(self, lora_scale: float | None) -> Sequence[TextModel]:
        states = hidden_state(-2)
        return [SequenceText(self.pipe, "text_encoder", "tokenizer", states, lora_scale)]

    def streams(self, said: Said) -> Sequence[TextStream]:
        return [said.stream("text_encoder", said.values["embeds"], mask=said.values["mask"])]

    def bundle(self, conditioning: Conditioning, inputs: Mapping[str, object]) -> Bundle:
        stream = conditioning.stream("text_encoder")
        return {
            "encoder_hidden_states": stream.embeds,
            "encoder_attention_mask": stream.mask_or_ones,
        }
