"""Wan 2.1 and 2.2: one UMT5 encoder, guidance in calls of its own, one or two transformers."""

from __future__ import annotations

from typing import ClassVar

from embedops_pipelines.single_encoder import SingleEncoder


class Wan(SingleEncoder):
    """Text-to-video, image-to-video and video-to-video pipelines of Wan.

    What follows a prompt is set to zero after encoding, and the transformer reads it without a
    mask. Wan 2.2 begins with one transformer and goes on with another: a step is a step, whichever
    of the two takes it.
    """

    family: ClassVar[str] = "wan"
    pipelines: ClassVar[tuple[str, ...]] = (
        "WanPipeline",
        "WanImageToVideoPipeline",
        "WanVideoToVideoPipeline",
    )
    denoisers: ClassVar[tuple[str, ...]] = ("transformer", "transformer_2")
    returns: ClassVar[tuple[str, ...]] = ("embeds", "negative_embeds")
