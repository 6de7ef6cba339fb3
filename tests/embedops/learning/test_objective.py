from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, FlowMatchEulerDiscreteScheduler
from diffusers.training_utils import compute_snr

from embedops import UnsupportedPipelineError
from embedops.learning.objective import Objective


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_it_noises_and_aims_as_diffusers_does(kind: str) -> None:
    scheduler = DDPMScheduler(prediction_type=kind, beta_schedule="scaled_linear")
    objective = Objective(scheduler)
    latents, noise = torch.randn(3, 4, 8, 8), torch.randn(3, 4, 8, 8)
    times = objective.times(torch.tensor([0.0, 0.5, 1.0]))
    assert times.tolist() == [0, 500, 999]
    expected = scheduler.add_noise(latents, noise, times)
    torch.testing.assert_close(objective.noisy(latents, noise, times), expected)
    target = noise if kind == "epsilon" else scheduler.get_velocity(latents, noise, times)
    torch.testing.assert_close(objective.target(latents, noise, times), target)
    assert objective.weights(times).tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(("kind", "more"), [("epsilon", 0), ("v_prediction", 1)])
def test_min_snr(kind: str, more: int) -> None:
    scheduler = DDPMScheduler(prediction_type=kind)
    times = torch.tensor([10, 400, 900])
    snr = compute_snr(scheduler, times)
    expected = snr.clamp(max=5.0) / (snr + more)
    torch.testing.assert_close(Objective(scheduler, "min-snr").weights(times), expected)


def test_flow_matching() -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    objective = Objective(scheduler)
    latents, noise = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8)
    times = objective.times(torch.tensor([0.25, 0.5]))
    torch.testing.assert_close(times, torch.tensor([500.0, 750.0]))
    expected = scheduler.scale_noise(latents[:1], scheduler.timesteps[:1], noise[:1])
    end = objective.noisy(latents[:1], noise[:1], scheduler.timesteps[:1])
    torch.testing.assert_close(end, expected)
    assert torch.equal(objective.target(latents, noise, times), noise - latents)


def test_what_cannot_be_learnt_with() -> None:
    scheduler: Any = DDIMScheduler(prediction_type="sample")
    with pytest.raises(UnsupportedPipelineError, match="'sample'"):
        Objective(scheduler)
