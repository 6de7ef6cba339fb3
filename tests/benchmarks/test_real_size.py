from __future__ import annotations

from typing import Any

import pytest
import real_size
import tiny
import torch
from families import cogvideox, flux, stable_diffusion_xl, wan
from real_shapes import SHAPES
from stopwatch import Stopwatch

import embedops
from embedops.testing import read_as

PUBLISHED = {
    "sd-1.5": {"unet": 859_520_964, "text_encoder": 123_060_480},
    "sdxl": {"unet": 2_567_463_684, "text_encoder_2": 694_659_840},
    "flux-dev": {"transformer": 11_901_408_320, "text_encoder_2": 4_762_310_656},
    "wan-1.3b": {"transformer": 1_418_996_800, "text_encoder": 5_680_910_336},
    "cogvideox-2b": {"transformer": 1_693_783_872, "text_encoder": 4_762_310_656},
}
"""Parameters of the public checkpoints."""

TINY = {
    "sd-1.5": (tiny.stable_diffusion, {}),
    "sdxl": (stable_diffusion_xl.stable_diffusion_xl, {}),
    "flux-dev": (flux.flux, {}),
    "wan-1.3b": (wan.wan, {"num_frames": 5}),
    "cogvideox-2b": (cogvideox.cogvideox, {"num_frames": 9}),
}


@pytest.mark.parametrize("key", SHAPES)
def test_the_shapes_are_those_of_the_public_models(key: str) -> None:
    pipe = SHAPES[key].build("meta", torch.bfloat16)
    for name, expected in PUBLISHED[key].items():
        network = getattr(pipe, name)
        assert sum(p.numel() for p in network.parameters()) == expected
        assert {p.dtype for p in network.parameters()} == {torch.bfloat16}
    assert torch.get_default_dtype() == torch.float32


@pytest.mark.parametrize(
    "key", [key if key == "sd-1.5" else pytest.param(key, marks=pytest.mark.slow) for key in TINY]
)
def test_every_shape_is_measured_alike(key: str) -> None:
    build, frames = TINY[key]
    inputs = {"height": 16, "width": 16, **frames}
    found = real_size.measure(build(), "cpu", inputs, steps=3, turns=1, usual=50)
    assert [row["with"] for row in found["rows"]] == list(real_size.stacks())
    for row in found["rows"]:
        assert row["later_hooks_s"]["median"] < row["first_hooks_s"]["median"]
        assert row["more_waits_a_step"] == 0
        assert row["peak_more"] > 0
        assert row["of_a_call"] > 0


def call(pipe: Any, steps: int) -> None:
    pipe("a pistol", num_inference_steps=steps, height=16, width=16, output_type="latent")


def test_the_stopwatch_leaves_the_pipeline_as_it_was(pipe: Any) -> None:
    watch = Stopwatch(pipe, "cpu")
    lap = watch.lap(lambda: call(pipe, 3), 3)
    assert "encode_prompt" not in vars(pipe)
    assert not pipe.unet._forward_pre_hooks
    assert len(lap.steps) == len(lap.hooks) == 3
    assert 0 < lap.encoding < lap.seconds
    assert sum(lap.steps) + lap.encoding <= lap.seconds


def test_the_stopwatch_sees_what_a_session_does(pipe: Any) -> None:
    watch = Stopwatch(pipe, "cpu")
    plain = watch.lap(lambda: call(pipe, 3), 3)
    session = embedops.attach(pipe, read_as())
    call(pipe, 1)
    edited = watch.lap(lambda: call(pipe, 3), 3)
    assert session.attached
    assert edited.hooks[0] > 5 * plain.hooks[0]
    assert edited.encoding > plain.encoding
    session.detach()
    assert "encode_prompt" not in vars(pipe)


def test_another_number_of_steps_is_noticed(pipe: Any) -> None:
    with pytest.raises(ValueError, match="3 times in 2 steps"):
        Stopwatch(pipe, "cpu").lap(lambda: call(pipe, 3), 2)
