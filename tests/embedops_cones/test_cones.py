from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from families import stable_diffusion_xl
from PIL import Image

import embedops
from embedops import Concept
from embedops.families import adapter_for
from embedops.learning.loop import StepReport
from embedops.learning.method import Task
from embedops_cones import Cones, ConesConfig

QUICK: dict[str, Any] = {"steps": 4, "batch": 2, "init": "red cat", "vectors": 2, "check_every": 1}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, colour in (("a", "red"), ("b", "blue")):
        Image.new("RGB", (32, 32), colour).save(folder / f"{name}.png")
    return folder


@pytest.mark.parametrize("build", [tiny.stable_diffusion, stable_diffusion_xl.stable_diffusion_xl])
def test_it_starts_from_what_the_words_say(build: Any) -> None:
    pipe = build()
    adapter = adapter_for(pipe)
    denoising = adapter.denoising()
    expected = denoising.read(["a red cat"])
    method = Cones(ConesConfig(init="red cat", vectors=2))
    run = method.begin(Task(adapter, denoising, [], "<toy>", 0))
    found = run.read(["a <toy>"], [0])
    run.close()
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value)


def test_the_text_encoder_rests_after_the_first_steps(pictures: Path, tmp_path: Path) -> None:
    pipe = tiny.stable_diffusion()
    calls: list[int] = []
    handle = pipe.text_encoder.register_forward_hook(lambda *_: calls.append(1))
    counts: list[int] = []

    def count(_report: StepReport) -> None:
        counts.append(len(calls))

    settings = {**QUICK, "templates": ("a {}",)}
    embedops.learn("cones", pipe, pictures, "<toy>", out=tmp_path / "o", on_step=count, **settings)
    handle.remove()
    assert counts == [1, 1, 1, 1]


def test_what_is_learnt_is_what_a_session_lets_the_denoiser_read(
    pictures: Path, tmp_path: Path
) -> None:
    pipe = tiny.stable_diffusion()
    embedops.learn("cones", pipe, pictures, "<toy>", out=tmp_path / "o", **QUICK)
    concept = Concept.load(tmp_path / "o" / "concept.safetensors")
    assert concept.outputs["text_encoder"].shape == concept.vectors["text_encoder"].shape
    read: list[torch.Tensor] = []

    def note(_module: object, _args: object, kwargs: dict[str, Any]) -> None:
        read.append(kwargs["encoder_hidden_states"])

    with embedops.attach(pipe) as session:
        session.add(concept)
        pipe.unet.register_forward_pre_hook(note, with_kwargs=True)
        pipe("a <toy>", num_inference_steps=2, height=16, width=16, guidance_scale=1.0)
    assert torch.equal(read[-1][0, 2:4], concept.outputs["text_encoder"])
    plain = adapter_for(pipe).denoising().read(["a red cat"])["encoder_hidden_states"]
    assert isinstance(plain, torch.Tensor)
    assert torch.equal(read[-1][0, :2], plain[0, :2])
    assert not torch.equal(read[-1][0, 2:4], plain[0, 2:4])
