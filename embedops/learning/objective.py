"""What the denoiser is asked to predict, as its scheduler was made for."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from embedops.errors import ConfigError, UnsupportedPipelineError

Weighting = Literal["none", "min-snr"]
Timesteps = Literal["uniform", "logit-normal"]


class Objective:
    """Noising and targets: epsilon, v (arXiv 2202.00512) and flow matching (arXiv 2210.02747).

    Args:
        scheduler: the pipeline's; only its config is read.
        weighting: `"min-snr"` weighs the loss of epsilon and v as arXiv 2303.09556 does, with
            γ = 5.
        timesteps: `"logit-normal"` draws those of flow matching from the middle, as arXiv
            2403.03206 does, with mean 0 and deviation 1. Either way the scheduler's shift follows;
            one that depends on the picture's size, as Flux's, is for sampling and left out, as
            diffusers' training scripts do.

    Raises:
        UnsupportedPipelineError: the scheduler trains for something else.
        ConfigError: a setting means nothing for what it trains for.
    """

    def __init__(
        self,
        scheduler: Any,
        weighting: Weighting = "none",
        timesteps: Timesteps = "uniform",
    ) -> None:
        config = scheduler.config
        self._weighting, self._timesteps = weighting, timesteps
        self._alphas: Tensor | None = getattr(scheduler, "alphas_cumprod", None)
        self._steps = int(config.num_train_timesteps)
        self._shift = 1.0
        self.kind = "flow"
        if self._alphas is not None:
            self.kind = str(config.prediction_type)
        if self.kind == "flow_prediction":  # a solver made for diffusion that samples a flow
            self.kind, self._alphas = "flow", None
        if self.kind not in ("flow", "epsilon", "v_prediction"):
            raise UnsupportedPipelineError(
                f"a scheduler that predicts {self.kind!r} cannot be learnt with: expected epsilon, "
                f"v_prediction or flow matching."
            )
        if self.kind == "flow" and not config.get("use_dynamic_shifting"):
            self._shift = float(config.get("shift") or config.get("flow_shift") or 1.0)
        if self.kind == "flow" and weighting == "min-snr":
            raise ConfigError(
                "weighting='min-snr' is for epsilon and v, and this model was trained by flow "
                "matching. Leave it out, or set timesteps='logit-normal' instead."
            )
        if self.kind != "flow" and timesteps == "logit-normal":
            raise ConfigError(
                f"timesteps='logit-normal' is for flow matching, and this model predicts "
                f"{self.kind}. Leave it out, or set weighting='min-snr' instead."
            )

    def times(self, uniform: Tensor) -> Tensor:
        """Timesteps `[batch]` as the denoiser reads them, from uniform numbers in 0..1."""
        if self.kind != "flow":
            return (uniform * self._steps).long().clamp(max=self._steps - 1)
        if self._timesteps == "logit-normal":
            uniform = torch.special.ndtri(uniform).sigmoid()
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
