from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
)
from diffusers.training_utils import compute_snr

from embedops import ConfigError, UnsupportedPipelineError
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


@pytest.mark.parametrize("dynamic", [False, True])
def test_timesteps_of_a_flow_are_those_of_diffusers_training_scripts(dynamic: bool) -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=dynamic)
    # The scripts take entry `u` of this table; it descends, so that `u` counts from the noise.
    uniform = torch.arange(1000, 0, -1) / 1000
    torch.testing.assert_close(Objective(scheduler).times(uniform), scheduler.timesteps)


def test_logit_normal_timesteps() -> None:
    objective = Objective(FlowMatchEulerDiscreteScheduler(), timesteps="logit-normal")
    count = 10_000
    drawn = objective.times((torch.arange(count) + 0.5) / count) / 1000
    expected = torch.randn(count, generator=torch.Generator().manual_seed(0)).sigmoid()
    torch.testing.assert_close(drawn, expected.sort().values, atol=0.01, rtol=0)
    ends = objective.times(torch.tensor([0.0, 1.0]))
    assert ends.tolist() == [0.0, 1000.0]


def test_a_solver_made_for_diffusion_that_samples_a_flow() -> None:
    scheduler = DPMSolverMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
    )
    flow = Objective(FlowMatchEulerDiscreteScheduler(shift=3.0))
    objective, uniform = Objective(scheduler), torch.rand(4)
    latents, noise = torch.randn(4, 4, 8, 8), torch.randn(4, 4, 8, 8)
    times = objective.times(uniform)
    assert torch.equal(times, flow.times(uniform))
    assert torch.equal(objective.noisy(latents, noise, times), flow.noisy(latents, noise, times))


def test_what_cannot_be_learnt_with() -> None:
    scheduler: Any = DDIMScheduler(prediction_type="sample")
    with pytest.raises(UnsupportedPipelineError, match="'sample'"):
        Objective(scheduler)
    with pytest.raises(ConfigError, match="timesteps='logit-normal'"):
        Objective(FlowMatchEulerDiscreteScheduler(), weighting="min-snr")
    with pytest.raises(ConfigError, match=r"predicts epsilon.*weighting='min-snr'"):
        Objective(DDIMScheduler(), timesteps="logit-normal")
