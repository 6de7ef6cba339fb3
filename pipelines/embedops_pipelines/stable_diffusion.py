"""Stable Diffusion 1.x and 2.x: one CLIP encoder, a UNet, guidance in one batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from embedops.families import Bundle
from embedops.learning.denoising import Denoising
from embedops.streams import Conditioning, TextStream
from embedops_pipelines.clip import ClipText
from embedops_pipelines.said import Said
from embedops_pipelines.text_family import TextFamily
from embedops_pipelines.text_model import TextModel
from embedops_pipelines.unet_denoising import UNetDenoising


class StableDiffusion(TextFamily):
    """Text and image-to-image, inpainting and ControlNet pipelines of the SD 1.x and 2.x line.

    The pooled vector is not read by the UNet; it serves to judge tokens. A ControlNet reads the
    prompt as well, and gets the same embeddings as the UNet.
    """

    family: ClassVar[str] = "stable-diffusion"
    pipelines: ClassVar[tuple[str, ...]] = (
        "StableDiffusionPipeline",
        "StableDiffusionImg2ImgPipeline",
        "StableDiffusionInpaintPipeline",
        "StableDiffusionControlNetPipeline",
        "StableDiffusionControlNetImg2ImgPipeline",
        "StableDiffusionControlNetInpaintPipeline",
    )
    denoisers: ClassVar[tuple[str, ...]] = ("unet",)
    companions: ClassVar[tuple[str, ...]] = ("controlnet",)
    returns: ClassVar[tuple[str, ...]] = ("embeds", "negative_embeds")

    def text_models(self, lora_scale: float | None) -> Sequence[TextModel]:
        return [ClipText(self.pipe, "text_encoder", "tokenizer", lora_scale=lora_scale)]

    def denoising(self) -> Denoising:
        return UNetDenoising(self.pipe)

    def streams(self, said: Said) -> Sequence[TextStream]:
        return [said.stream("text_encoder", said.values["embeds"])]

    def bundle(self, conditioning: Conditioning, inputs: Mapping[str, object]) -> Bundle:
        return {"encoder_hidden_states": conditioning.stream("text_encoder").embeds}
