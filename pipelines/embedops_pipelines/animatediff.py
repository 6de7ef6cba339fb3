"""AnimateDiff: a Stable Diffusion model, or an SDXL one, whose UNet moves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from embedops.families import Adapter
from embedops_pipelines.stable_diffusion import StableDiffusion
from embedops_pipelines.stable_diffusion_xl import StableDiffusionXL


class AnimateDiff(StableDiffusion):
    """Text-to-video, video-to-video and sparsely controlled pipelines of AnimateDiff.

    They read text as Stable Diffusion does. The pipeline repeats every row for each frame before
    the UNet reads it.
    """

    family: ClassVar[str] = "animatediff"
    pipelines: ClassVar[tuple[str, ...]] = (
        "AnimateDiffPipeline",
        "AnimateDiffVideoToVideoPipeline",
        "AnimateDiffSparseControlNetPipeline",
    )

    # A concept is learnt with the image model that moves here, and used with both.
    denoising = Adapter.denoising

    def rows_per_prompt(self, name: str, images: int, inputs: Mapping[str, object]) -> int:
        return images * _frames(inputs)


class AnimateDiffXL(StableDiffusionXL):
    """AnimateDiff on SDXL. The states are repeated for each frame, the pooled vector is not."""

    family: ClassVar[str] = "animatediff-xl"
    pipelines: ClassVar[tuple[str, ...]] = ("AnimateDiffSDXLPipeline",)
    companions: ClassVar[tuple[str, ...]] = ()

    denoising = Adapter.denoising

    def rows_per_prompt(self, name: str, images: int, inputs: Mapping[str, object]) -> int:
        return images * _frames(inputs) if name == "encoder_hidden_states" else images


def _frames(inputs: Mapping[str, object]) -> int:
    """The frames of the latents `[batch, channels, frames, height, width]`."""
    sample = inputs["sample"]
    return sample.shape[2] if isinstance(sample, Tensor) else 1
