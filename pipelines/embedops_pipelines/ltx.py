"""LTX-Video: one T5 encoder, a mask for the transformer alone, guidance in one batch."""

from __future__ import annotations

from typing import ClassVar

from embedops_pipelines.single_encoder import SingleEncoder


class Ltx(SingleEncoder):
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
    mask_argument: ClassVar[str | None] = "encoder_attention_mask"
