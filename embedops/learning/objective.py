"""What the denoiser is asked to predict, as its scheduler was made for."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from embedops.errors import UnsupportedPipelineError

Weighting = Literal["none", "min-snr"]


class Objective:
    """Noising and targets: epsilon, v (arXiv 2202.00512) and flow matching (arXiv 2210.02747).

    Args:
        scheduler: the pipeline's; only its config is read.
        weighting: `"min-snr"` weighs the loss as arXiv 2303.09556 does, with γ = 5. It changes
            nothing for flow matching, whose timesteps are weighted by how they are drawn.

    Raises:
        UnsupportedPipelineError: the scheduler trains for something else.
    """

    def __init__(self, scheduler: Any, weighting: Weighting = "none") -> None:
        self._weighting = weighting
        self._alphas: Tensor | None = getattr(scheduler, "alphas_cumprod", None)
        self._steps = int(scheduler.config.num_train_timesteps)
        self._shift = float(getattr(scheduler.config, "shift", 1.0) or 1.0)
        self.kind = "flow"
        if self._alphas is not None:
            self.kind = str(scheduler.config.prediction_type)
        if self.kind not in ("flow", "epsilon", "v_prediction"):
            raise UnsupportedPipelineError(
                f"a scheduler that predicts {self.kind!r} cannot be learnt with: expected epsilon, "
                f"v_prediction or flow matching."
            )

    def times(self, uniform: Tensor) -> Tensor:
        """Timesteps `[batch]` as the denoiser reads them, from uniform numbers in 0..1."""
        if self.kind != "flow":
            return (uniform * self._steps).long().clamp(max=self._steps - 1)
        shifted = self._shift * uniform / (1 + (self._shift - 1) * uniform)
        return shifted * self._steps

    def noisy(self, latents: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """`latents` `[batch, ...]` with noise of the timesteps."""
        signal, sigma = self._levels(latents, times)
        return signal * latents + sigma * noise

    def target(self, latents: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """What the denoiser is to predict."""
        if self.kind == "flow":
            return noise - latents
        if self.kind == "epsilon":
            return noise
        signal, sigma = self._levels(latents, times)
        return signal * noise - sigma * latents

    def weights(self, times: Tensor) -> Tensor:
        """The loss's weight for each timestep, `[batch]`."""
        if self._weighting == "none" or self._alphas is None:
            return torch.ones(times.shape, device=times.device)
        alphas = self._alphas.to(times.device)[times]
        ratio = alphas / (1 - alphas)
        clipped = ratio.clamp(max=5.0)
        return clipped / (ratio if self.kind == "epsilon" else ratio + 1)

    def _levels(self, latents: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
        wide = (-1, *[1] * (latents.ndim - 1))
        if self._alphas is None:
            sigma = (times / self._steps).to(latents.dtype).view(wide)
            return 1 - sigma, sigma
        alphas = self._alphas.to(times.device)[times].to(latents.dtype).view(wide)
        return alphas.sqrt(), (1 - alphas).sqrt()
