"""Chroma: one T5 encoder with a mask that keeps one pad, guidance in calls of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from embedops.families import Bundle
from embedops.streams import Conditioning
from embedops_pipelines.single_encoder import NAME, SingleEncoder


class Chroma(SingleEncoder):
    """Text-to-image and image-to-image pipelines of Chroma.

    The transformer gets one mask over the text and the picture's tokens after it; of the padding
    it lets the first position through.
    """

    family: ClassVar[str] = "chroma"
    pipelines: ClassVar[tuple[str, ...]] = ("ChromaPipeline", "ChromaImg2ImgPipeline")
    denoisers: ClassVar[tuple[str, ...]] = ("transformer",)
    returns: ClassVar[tuple[str, ...]] = (
        "embeds",
        "_",
        "mask",
        "negative_embeds",
        "_",
        "negative_mask",
    )

    def bundle(self, conditioning: Conditioning, inputs: Mapping[str, Any]) -> Bundle:
        stream = conditioning.stream(NAME)
        whole: Tensor | None = inputs["attention_mask"]
        mask = stream.mask_or_ones
        if whole is not None:
            picture = whole.shape[1] - mask.shape[1]
            mask = torch.cat([mask, mask.new_ones(mask.shape[0], picture)], dim=1).to(whole.dtype)
        return {"encoder_hidden_states": stream.embeds, "attention_mask": mask}
