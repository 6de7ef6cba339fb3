"""Flux: CLIP's pooled vector and T5's sequence, guidance embedded or in separate calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from embedops.families import Bundle
from embedops.learning.denoising import Denoising
from embedops.streams import Conditioning, TextStream
from embedops_pipelines.clip import ClipText
from embedops_pipelines.flow_denoising import FluxDenoising
from embedops_pipelines.said import Said
from embedops_pipelines.sequence_text import SequenceText
from embedops_pipelines.text_family import TextFamily
from embedops_pipelines.text_model import TextModel


class Flux(TextFamily):
    """Text and image-to-image, inpainting, Fill, Kontext, Control and ControlNet pipelines of the
    first Flux line.

    Of CLIP the denoiser reads the pooled vector alone, of T5 every position: the padding is
    neither masked from the encoder nor from the denoiser. A negative prompt is encoded by a call
    of its own, and only with `true_cfg_scale` above 1.
    """

    family: ClassVar[str] = "flux"
    pipelines: ClassVar[tuple[str, ...]] = (
        "FluxPipeline",
        "FluxImg2ImgPipeline",
        "FluxInpaintPipeline",
        "FluxFillPipeline",
        "FluxKontextPipeline",
        "FluxKontextInpaintPipeline",
        "FluxControlPipeline",
        "FluxControlImg2ImgPipeline",
        "FluxControlInpaintPipeline",
        "FluxControlNetPipeline",
        "FluxControlNetImg2ImgPipeline",
        "FluxControlNetInpaintPipeline",
    )
    denoisers: ClassVar[tuple[str, ...]] = ("transformer",)
    companions: ClassVar[tuple[str, ...]] = ("controlnet",)
    encodes_in_parts: ClassVar[bool] = True
    returns: ClassVar[tuple[str, ...]] = ("embeds", "pooled", "_")

    def text_models(self, lora_scale: float | None) -> Sequence[TextModel]:
        return [
            ClipText(self.pipe, "text_encoder", "tokenizer", lora_scale=lora_scale),
            SequenceText(self.pipe, "text_encoder_2", "tokenizer_2", lora_scale=lora_scale),
        ]

    def denoising(self) -> Denoising:
        return FluxDenoising(self.pipe)

    def streams(self, said: Said) -> Sequence[TextStream]:
        pooled = said.values["pooled"]
        states = said.states("text_encoder", like=pooled)
        return [
            said.stream("text_encoder", states, pooled=pooled),
            said.stream("text_encoder_2", said.values["embeds"]),
        ]

    def bundle(self, conditioning: Conditioning, inputs: Mapping[str, object]) -> Bundle:
        return {
            "encoder_hidden_states": conditioning.stream("text_encoder_2").embeds,
            "pooled_projections": conditioning.stream("text_encoder").pooled_vector,
        }
