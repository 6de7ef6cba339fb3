"""Shared fixtures: small pipelines, built once a session and never left changed."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import hypothesis
import numpy as np
import pytest
import tiny
import torch
from support_matrix import SupportMatrix

warnings.filterwarnings("ignore", message=".*torchvision.*")

# A busy machine must not fail a property that holds.
hypothesis.settings.register_profile("embedops", deadline=None)
hypothesis.settings.load_profile("embedops")

# The models are tiny: handing work to a second thread costs more than it saves.
torch.set_num_threads(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-support", action="store_true", help="Write the support matrix anew.")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(SupportMatrix(config), "support-matrix")


Draw = Callable[..., np.ndarray]


@pytest.fixture
def pipe() -> Any:
    """A tiny Stable Diffusion pipeline."""
    return tiny.stable_diffusion()


@pytest.fixture
def draw() -> Draw:
    """Runs a pipeline with fixed noise and gives its pictures as an array."""

    def run(pipe: Any, prompt: str | list[str], *, steps: int = 4, **settings: Any) -> np.ndarray:
        rows = 1 if isinstance(prompt, str) else len(prompt)
        rows *= settings.get("num_images_per_prompt", 1)
        generators = [torch.Generator().manual_seed(seed) for seed in range(rows)]
        settings = {"guidance_scale": 5.0, "num_inference_steps": steps, **settings}
        return pipe(prompt, generator=generators, output_type="np", **settings).images

    return run
