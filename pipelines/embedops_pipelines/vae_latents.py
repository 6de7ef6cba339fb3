"""Pictures as latents, for learning with pipelines that have a VAE."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from embedops.errors import UnsupportedPipelineError


def latents_of(vae: Any, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and spread of the latents of pictures `[n, 3, high, wide]` in -1..1, as the denoiser
    reads them."""
    found = vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist
    scale, shift = vae.config.scaling_factor, getattr(vae.config, "shift_factor", None) or 0.0
    return (found.mean.float() - shift) * scale, found.std.float() * scale


def check_channels(denoiser: str, read: int, vae: Any) -> None:
    """Make sure that a denoiser reads noisy latents and no picture beside them.

    Args:
        denoiser: what to call it in the error.
        read: channels that it reads of each latent.
        vae: the pipeline's.

    Raises:
        UnsupportedPipelineError: it reads more than the VAE gives.
    """
    given = int(vae.config.latent_channels)
    if read != given:
        raise UnsupportedPipelineError(
            f"this {denoiser} reads {read} channels and the VAE gives {given}: it takes a picture "
            f"beside the noise. Learn with the text-to-image model that it was made from; the "
            f"concept works in both."
        )
