"""Stable Diffusion XL: two CLIP encoders side by side, a pooled vector, guidance in one batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch

from embedops.families import Bundle
from embedops.learning.denoising import Denoising
from embedops.streams import Conditioning, TextStream
from embedops_pipelines.clip import ClipText
from embedops_pipelines.said import Said
from embedops_pipelines.text_family import TextFamily
from embedops_pipelines.text_model import TextModel
from embedops_pipelines.unet_denoising import UNetDenoising

_ENCODERS = ("text_encoder", "text_encoder_2")


class StableDiffusionXL(TextFamily):
    """Text and image-to-image, inpainting and ControlNet pipelines of SDXL, the refiner included.

    Both encoders are read one layer before the last and joined along the features; the second
    one's projected vector is read beside them. The refiner has the second encoder alone. Without
    a negative prompt the negative side is zeros and says nothing.
    """

    family: ClassVar[str] = "stable-diffusion-xl"
    pipelines: ClassVar[tuple[str, ...]] = (
        "StableDiffusionXLPipeline",
        "StableDiffusionXLImg2ImgPipeline",
        "StableDiffusionXLInpaintPipeline",
        "StableDiffusionXLControlNetPipeline",
        "StableDiffusionXLControlNetImg2ImgPipeline",
        "StableDiffusionXLControlNetInpaintPipeline",
    )
    denoisers: ClassVar[tuple[str, ...]] = ("unet",)
    companions: ClassVar[tuple[str, ...]] = ("controlnet",)
    returns: ClassVar[tuple[str, ...]] = (
        "embeds",
        "negative_embeds",
        "pooled",
        "negative_pooled",
    )

    def text_models(self, lora_scale: float | None) -> Sequence[TextModel]:
        return [
            ClipText(
                self.pipe,
                name,
                name.replace("text_encoder", "tokenizer"),
                skip=1,
                lora_scale=lora_scale,
            )
            for name in _ENCODERS
            if getattr(self.pipe, name) is not None
        ]

    def denoising(self) -> Denoising:
        return UNetDenoising(self.pipe)

    def streams(self, said: Said) -> Sequence[TextStream]:
        names = list(said.models)
        widths = [model.model.config.hidden_size for model in said.models.values()]
        parts = said.values["embeds"].split(widths, dim=-1)
        pooled = [None] * (len(names) - 1) + [said.values["pooled"]]
        return [
            said.stream(name, part, pooled=vector)
            for name, part, vector in zip(names, parts, pooled, strict=True)
        ]

    def bundle(self, conditioning: Conditioning, inputs: Mapping[str, object]) -> Bundle:
        streams = conditioning.streams
        return {
            "encoder_hidden_states": torch.cat([s.embeds for s in streams], dim=-1),
            "added_cond_kwargs.text_embeds": streams[-1].pooled_vector,
        }
