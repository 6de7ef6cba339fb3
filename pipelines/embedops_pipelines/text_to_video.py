"""ModelScope and ZeroScope: one CLIP encoder, a UNet over frames, guidance in one batch."""

from __future__ import annotations

from typing import ClassVar

from embedops.families import Adapter
from embedops_pipelines.stable_diffusion import StableDiffusion


class TextToVideo(StableDiffusion):
    """Text-to-video and video-to-video pipelines of the ModelScope line.

    They read text as Stable Diffusion does; the UNet itself repeats it for each frame.
    """

    family: ClassVar[str] = "text-to-video"
    pipelines: ClassVar[tuple[str, ...]] = ("TextToVideoSDPipeline", "VideoToVideoSDPipeline")
    companions: ClassVar[tuple[str, ...]] = ()
    # Concepts are learnt from pictures, with an image model.
    denoising = Adapter.denoising
