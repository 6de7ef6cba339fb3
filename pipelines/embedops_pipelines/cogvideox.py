"""CogVideoX: one T5 encoder without a mask, guidance in one batch."""

from __future__ import annotations

from typing import ClassVar

from embedops_pipelines.single_encoder import SingleEncoder


class CogVideoX(SingleEncoder):
    """Text-to-video, image-to-video and video-to-video pipelines of CogVideoX.

    Every prompt is padded to 226 tokens, and the padding is read: neither the encoder nor the
    transformer gets a mask.
    """

    family: ClassVar[str] = "cogvideox"
    pipelines: ClassVar[tuple[str, ...]] = (
        "CogVideoXPipeline",
        "CogVideoXImageToVideoPipeline",
        "CogVideoXVideoToVideoPipeline",
    )
    denoisers: ClassVar[tuple[str, ...]] = ("transformer",)
    returns: ClassVar[tuple[str, ...]] = ("embeds", "negative_embeds")
