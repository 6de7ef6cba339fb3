from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from families import flux, stable_diffusion_3, stable_diffusion_xl
from PIL import Image

import embedops
from embedops import Concept, ConfigError
from embedops.families import adapter_for
from embedops.learning.loop import StepReport
from embedops.learning.method import Task
from embedops_cones import Cones, ConesConfig

Build = Callable[[], Any]
BUILDS: tuple[Build, ...] = (
    tiny.stable_diffusion,
    stable_diffusion_xl.stable_diffusion_xl,
    stable_diffusion_3.stable_diffusion_3,
    stable_diffusion_3.without_t5,
    flux.small_flux,
)
families = pytest.mark.parametrize("build", BUILDS, ids=lambda build: build.__name__)
QUICK: dict[str, Any] = {"steps": 4, "batch": 2, "init": "red cat", "vectors": 2, "check_every": 1}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, colour in (("a", "red"), ("b", "blue")):
        Image.new("RGB", (32, 32), colour).save(folder / f"{name}.png")
    return folder


@families
def test_it_starts_from_what_the_words_say(build: Build) -> None:
    adapter = adapter_for(build())
    denoising = adapter.denoising()
    with torch.no_grad():
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
    assert len(counts) == 4
    assert len(set(counts)) == 1


def read_in_a_session(pipe: Any, concept: Concept, text: str) -> dict[str, Any]:
    """What the denoiser is given of `text`."""
    read: dict[str, Any] = {}

    def note(_module: object, _args: object, kwargs: dict[str, Any]) -> None:
        read.update(kwargs)
        for key, value in (kwargs.get("added_cond_kwargs") or {}).items():
            read[f"added_cond_kwargs.{key}"] = value

    denoiser = getattr(pipe, "unet", None) or pipe.transformer
    with embedops.attach(pipe) as session:
        session.add(concept)
        handle = denoiser.register_forward_pre_hook(note, with_kwargs=True)
        pipe(text, num_inference_steps=2, height=16, width=16, guidance_scale=1.0)
        handle.remove()
    return read


@families
@pytest.mark.parametrize("text", ["a <toy>", "a <toy> beside a <toy>"])
def test_what_is_learnt_is_what_a_session_lets_the_denoiser_read(
    text: str, build: Build, pictures: Path, tmp_path: Path
) -> None:
    pipe = build()
    (pictures / "a.txt").write_text(text)
    embedops.learn("cones", pipe, pictures, "<toy>", out=tmp_path / "o", **QUICK)
    concept = Concept.load(tmp_path / "o" / "concept.safetensors")
    adapter = adapter_for(pipe)
    run = Cones(ConesConfig(init="red cat", vectors=2)).begin(
        Task(adapter, adapter.denoising(), [], "<toy>", 0)
    )
    with torch.no_grad():
        start = run.read([text], [0])["encoder_hidden_states"]
        for name, vectors in run.parameters().items():
            vectors.copy_(concept.outputs[name])
        learnt = run.read([text], [0])
    run.close()
    read = read_in_a_session(pipe, concept, text)
    assert all(torch.equal(read[key], torch.as_tensor(value)) for key, value in learnt.items())
    changed = (read["encoder_hidden_states"] != start).any(-1).sum()
    # Two CLIP encoders stand side by side, a T5 behind them.
    places = 2 if "text_encoder_3" in run.parameters() else 1
    assert int(changed) == 2 * text.count("<toy>") * places


def test_a_caption_that_ends_before_the_placeholder(tmp_path: Path) -> None:
    pipe = tiny.stable_diffusion()
    Image.new("RGB", (32, 32), "red").save(tmp_path / "a.png")
    text = "cat " * 90
    (tmp_path / "a.txt").write_text(text + "<toy>")
    settings = {**QUICK, "batch": 1}
    concept = embedops.learn("cones", pipe, tmp_path, "<toy>", out=tmp_path / "o", **settings)
    read = read_in_a_session(pipe, concept, text + "<toy>")
    plain = read_in_a_session(pipe, concept, text)
    assert torch.equal(read["encoder_hidden_states"], plain["encoder_hidden_states"])


def test_an_encoder_read_as_one_vector_has_no_positions(pictures: Path, tmp_path: Path) -> None:
    pipe = flux.small_flux()
    concept = embedops.learn("cones", pipe, pictures, "<toy>", out=tmp_path / "o", **QUICK)
    assert concept.outputs.keys() == {"text_encoder_2"}
    assert concept.vectors.keys() == {"text_encoder", "text_encoder_2"}
    assert "keeps what text_encoder says of 'red cat'" in concept.origin["notes"]


def test_a_template_without_room_for_the_placeholder(pictures: Path, tmp_path: Path) -> None:
    pipe = tiny.stable_diffusion()
    tokenizer = pipe.tokenizer
    with pytest.raises(ConfigError, match="text_encoder reads 1 of the placeholder's 2 vectors"):
        embedops.learn(
            "cones",
            pipe,
            pictures,
            "<toy>",
            out=tmp_path / "o",
            vectors=2,
            templates=("cat " * 74 + "{}",),
        )
    assert pipe.tokenizer is tokenizer
