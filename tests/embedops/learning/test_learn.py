from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from families import flux, stable_diffusion_xl
from PIL import Image

import embedops
from embedops import (
    Concept,
    ConfigError,
    LearningError,
    UnknownNameError,
    UnsupportedPipelineError,
)
from embedops.learning.loop import StepReport

METHODS = ("textual-inversion", "cross-init", "cones")
QUICK: dict[str, Any] = {"steps": 6, "batch": 2, "init": "cat", "check_every": 2}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, colour in (("a", "red"), ("b", "blue"), ("c", "green")):
        Image.new("RGB", (32, 32), colour).save(folder / f"{name}.png")
    return folder


def state(pipe: Any) -> dict[str, torch.Tensor]:
    return {
        f"{name}.{key}": value.clone()
        for name in ("unet", "vae", "text_encoder")
        for key, value in getattr(pipe, name).state_dict().items()
    }


@pytest.mark.parametrize("method", METHODS)
def test_only_the_new_rows_are_learnt(method: str, pictures: Path, tmp_path: Path) -> None:
    pipe = tiny.stable_diffusion()
    before, tokenizer = state(pipe), pipe.tokenizer
    reports: list[StepReport] = []
    concept = embedops.learn(
        method, pipe, pictures, "<toy>", out=tmp_path / "out", on_step=reports.append, **QUICK
    )
    after = state(pipe)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert pipe.tokenizer is tokenizer
    assert all(p.requires_grad for p in pipe.unet.parameters())
    assert [report.step for report in reports] == [1, 2, 3, 4, 5, 6]
    assert reports[-1].moved > 0
    assert Concept.load(tmp_path / "out" / "concept.safetensors") == concept
    lines = [json.loads(x) for x in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "check" in line] == [2, 4, 6]
    with embedops.attach(pipe) as session:
        session.add(concept)
        pipe("a <toy>", num_inference_steps=2, height=16, width=16)


@pytest.mark.parametrize("method", METHODS)
def test_a_stopped_run_goes_on_to_the_same_result(
    method: str, pictures: Path, tmp_path: Path
) -> None:
    whole = embedops.learn(
        method, tiny.stable_diffusion(), pictures, "<toy>", out=tmp_path / "whole", **QUICK
    )

    def stop(report: StepReport) -> None:
        if report.step == 4:
            raise KeyboardInterrupt

    half = tmp_path / "half"
    pipe = tiny.stable_diffusion()
    with pytest.raises(KeyboardInterrupt):
        embedops.learn(method, pipe, pictures, "<toy>", out=half, on_step=stop, **QUICK)
    steps: list[int] = []
    gone_on = embedops.learn(
        method, pipe, pictures, "<toy>", out=half, on_step=lambda r: steps.append(r.step), **QUICK
    )
    assert steps == [5, 6]
    assert gone_on == whole
    with pytest.raises(ConfigError, match="other settings or pictures"):
        embedops.learn(method, pipe, pictures, "<toy>", out=half, seed=1, **QUICK)


def test_gradients_add_up(pictures: Path, tmp_path: Path) -> None:
    reports: list[StepReport] = []
    concept = embedops.learn(
        "textual-inversion",
        tiny.stable_diffusion(),
        pictures,
        "<toy>",
        out=tmp_path / "out",
        on_step=reports.append,
        accumulate=2,
        gradient_checkpointing=True,
        weighting="min-snr",
        **QUICK,
    )
    assert len(reports) == 6
    assert concept.vectors["text_encoder"].shape[0] == 1


def test_both_encoders_of_sdxl_learn(pictures: Path, tmp_path: Path) -> None:
    pipe = stable_diffusion_xl.stable_diffusion_xl()
    concept = embedops.learn("cross-init", pipe, pictures, "<toy>", out=tmp_path / "out", **QUICK)
    assert set(concept.vectors) == {"text_encoder", "text_encoder_2"}
    assert all(rows.shape[0] == 2 for rows in concept.vectors.values())


def test_the_best_check_is_kept(pictures: Path, tmp_path: Path) -> None:
    reports: list[StepReport] = []
    settings = {**QUICK, "rate": 3.0, "check_every": 1}
    concept = embedops.learn(
        "textual-inversion",
        tiny.stable_diffusion(),
        pictures,
        "<toy>",
        out=tmp_path / "out",
        on_step=reports.append,
        **settings,
    )
    checks = {report.check: report.step for report in reports if report.check is not None}
    assert concept.origin["step"] == str(checks[min(checks)])


def test_a_loss_that_is_no_number_keeps_the_last_good_state(pictures: Path, tmp_path: Path) -> None:
    pipe = tiny.stable_diffusion()

    def break_it(report: StepReport) -> None:
        if report.step == 4:
            pipe.unet.conv_out.bias.data.fill_(float("nan"))

    with pytest.raises(LearningError, match="nan at step 5"):
        embedops.learn(
            "cross-init", pipe, pictures, "<toy>", out=tmp_path / "out", on_step=break_it, **QUICK
        )
    kept = Concept.load(tmp_path / "out" / "concept.safetensors")
    assert bool(torch.isfinite(kept.vectors["text_encoder"]).all())
    assert pipe.tokenizer.convert_tokens_to_ids("<toy>") in (None, pipe.tokenizer.unk_token_id)


def test_bad_input(pictures: Path, tmp_path: Path) -> None:
    pipe = tiny.stable_diffusion()

    def learn(method: str = "cross-init", name: str = "<toy>", **config: Any) -> Concept:
        return embedops.learn(method, pipe, pictures, name, out=tmp_path / "out", **config)

    with pytest.raises(UnknownNameError, match="did you mean 'cross-init'"):
        learn("cross-inti")
    with pytest.raises(UnknownNameError, match="setting of 'cross-init'"):
        learn(step=3)
    with pytest.raises(ConfigError, match="steps"):
        learn(steps=0)
    with pytest.raises(ConfigError, match="every template needs"):
        learn(templates=("a photo",))
    with pytest.raises(ConfigError, match="word of the model's vocabulary"):
        learn(name="cat")
    with pytest.raises(ConfigError, match="cannot be a placeholder"):
        learn(name="")
    with pytest.raises(ConfigError, match="cannot be made"):
        embedops.learn("cross-init", pipe, pictures, "<toy>", out=pictures / "a.png" / "b")
    with pytest.raises(UnsupportedPipelineError, match="that learn: stable-diffusion,"):
        embedops.learn("cross-init", flux.flux(), pictures, "<toy>", out=tmp_path / "out")
