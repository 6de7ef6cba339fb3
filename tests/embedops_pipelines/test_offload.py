from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from conftest import Draw
from diffusers.hooks import apply_group_offloading
from probe import say

import embedops

PROMPTS = ["a photo of a pistol", "a dog on the table"]
SAID = ["a cat on the beach", "a dog on the table"]

gpu = pytest.mark.gpu
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")


def offload(pipe: Any, kind: str, device: str) -> None:
    """Move the models' parts to `device` only while they run."""
    blocks = {"num_blocks_per_group": 1} if kind == "block_level" else {}
    for model in (pipe.text_encoder, pipe.unet):
        apply_group_offloading(
            model, onload_device=torch.device(device), offload_type=kind, **blocks
        )
    if device != "cpu":
        pipe.vae.to(device)


@pytest.mark.parametrize("first", ["offload", "attach"])
@pytest.mark.parametrize("kind", ["block_level", "leaf_level"])
def test_group_offloading(pipe: Any, draw: Draw, kind: str, first: str) -> None:
    expected = draw(pipe, SAID)
    safree = embedops.plugin("safree", phrases="a snow house", strength=0.0)
    if first == "offload":
        offload(pipe, kind, "cpu")
    session = embedops.attach(pipe, say(), safree)
    if first == "attach":
        offload(pipe, kind, "cpu")
    for _ in range(2):
        assert np.array_equal(draw(pipe, PROMPTS), expected)
    session.detach()
    assert np.array_equal(draw(pipe, SAID), expected)


@gpu
@needs_cuda
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_on_cuda(pipe: Any, draw: Draw, dtype: torch.dtype) -> None:
    pipe.to("cuda", dtype)
    expected = draw(pipe, SAID)
    with embedops.attach(pipe, say()):
        assert np.array_equal(draw(pipe, PROMPTS), expected)


@gpu
@needs_cuda
@pytest.mark.parametrize("first", ["offload", "attach"])
def test_model_offloading(pipe: Any, draw: Draw, first: str) -> None:
    safree = embedops.plugin("safree", phrases="a snow house")
    if first == "offload":
        pipe.enable_model_cpu_offload()
    session = embedops.attach(pipe, say(), safree)
    if first == "attach":
        pipe.enable_model_cpu_offload()
    steered = [draw(pipe, PROMPTS) for _ in range(2)]
    session.detach()
    with embedops.attach(pipe, safree):
        expected = draw(pipe, SAID)
    assert np.array_equal(steered[0], steered[1])
    assert np.array_equal(steered[0], expected)
