"""Mochi: one T5 encoder with a mask, guidance in one batch."""

from __future__ import annotations

from typing import ClassVar

from embedops_pipelines.single_encoder import SingleEncoder


class Mochi(SingleEncoder):
    """Text-to-video pipelines of Mochi.

    The mask hides the padding from the encoder and from the transformer. With `force_zeros` an
    empty text zeroes the whole batch that it is encoded with.
    """

    family: ClassVar[str] = "mochi"
    pipelines: ClassVar[tuple[str, ...]] = ("MochiPipeline",)
    denoisers: ClassVar[tuple[str, ...]] = ("transformer",)
    returns: ClassVar[tuple[str, ...]] = ("embeds", "mask", "negative_embeds", "negative_mask")
    tiled: ClassVar[tuple[str, ...]] = ("mask",)
    mask_argument: ClassVar[str | None] = "encoder_attention_mask"
