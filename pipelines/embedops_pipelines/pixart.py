"""PixArt-α and PixArt-Σ: one T5 encoder with a mask, guidance in one batch."""

from __future__ import annotations

from typing import ClassVar

from embedops_pipelines.single_encoder import SingleEncoder


class PixArt(SingleEncoder):
    """Text-to-image pipelines of the PixArt line.

    The prompt is padded to 120 tokens (α) or 300 (Σ), and the mask keeps the padding from the
    denoiser. The pipelines clean the caption, in lower case at the least, before it is encoded.
    They offer no callback at the end of a step.
    """

    family: ClassVar[str] = "pixart"
    pipelines: ClassVar[tuple[str, ...]] = ("PixArtAlphaPipeline", "PixArtSigmaPipeline")
    denoisers: ClassVar[tuple[str, ...]] = ("transformer",)
    returns: ClassVar[tuple[str, ...]] = ("embeds", "mask", "negative_embeds", "negative_mask")
    mask_argument: ClassVar[str | None] = "encoder_attention_mask"
