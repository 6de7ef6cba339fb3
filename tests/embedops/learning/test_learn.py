from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from families import flux, kolors, stable_diffusion_3, stable_diffusion_xl
from PIL import Image
from torch import nn

import embedops
from embedops import (
    Concept,
    ConfigError,
    LearningError,
    UnknownNameError,
    UnsupportedPipelineError,
)
from embedops.families import adapter_for
from embedops.learning.loop import StepReport
from embedops.learning.method import Task
from embedops.learning.rows import rows_of_words

Build = Callable[[], Any]
METHODS = ("textual-inversion", "cross-init", "cones")
BUILDS: tuple[Build, ...] = (
    tiny.stable_diffusion,
    stable_diffusion_xl.stable_diffusion_xl,
    stable_diffusion_3.stable_diffusion_3,
    stable_diffusion_3.without_t5,
    flux.small_flux,
)
methods = pytest.mark.parametrize("method", METHODS)
families = pytest.mark.parametrize("build", BUILDS, ids=lambda build: build.__name__)
flows = pytest.mark.parametrize("build", BUILDS[2:], ids=lambda build: build.__name__)
QUICK: dict[str, Any] = {"steps": 6, "batch": 2, "init": "cat", "check_every": 2}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, colour in (("a", "red"), ("b", "blue"), ("c", "green")):
        Image.new("RGB", (32, 32), colour).save(folder / f"{name}.png")
    return folder


def modules(pipe: Any) -> dict[str, nn.Module]:
    return {name: m for name, m in pipe.components.items() if isinstance(m, nn.Module)}


def state(pipe: Any) -> dict[str, torch.Tensor]:
    return {
        f"{name}.{key}": value.clone()
        for name, module in modules(pipe).items()
        for key, value in module.state_dict().items()
    }


def draw(pipe: Any, prompt: str) -> torch.Tensor:
    drawn = pipe(
        prompt,
        num_inference_steps=2,
        height=16,
        width=16,
        generator=torch.Generator().manual_seed(0),
        output_type="latent",
    )
    return torch.as_tensor(drawn[0])


@families
@methods
def test_only_the_new_rows_are_learnt(
    method: str, build: Build, pictures: Path, tmp_path: Path
) -> None:
    pipe = build()
    before, components, plain = state(pipe), dict(pipe.components), draw(pipe, "a cat")
    reports: list[StepReport] = []
    concept = embedops.learn(
        method, pipe, pictures, "<toy>", out=tmp_path / "out", on_step=reports.append, **QUICK
    )
    after = state(pipe)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(now is components[name] for name, now in pipe.components.items())
    assert all(p.requires_grad for m in modules(pipe).values() for p in m.parameters())
    assert [report.step for report in reports] == [1, 2, 3, 4, 5, 6]
    assert reports[-1].moved > 0
    loaded = Concept.load(tmp_path / "out" / "concept.safetensors")
    assert loaded == concept
    lines = [json.loads(x) for x in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "check" in line] == [2, 4, 6]
    with embedops.attach(pipe) as session:
        session.add(concept)
        named = draw(pipe, "a <toy>")
        session.remove("<toy>")
        session.add(loaded)
        assert torch.equal(draw(pipe, "a <toy>"), named)
    assert not torch.equal(named, plain)
    assert torch.equal(draw(pipe, "a cat"), plain)


@families
@methods
def test_a_stopped_run_goes_on_to_the_same_result(
    method: str, build: Build, pictures: Path, tmp_path: Path
) -> None:
    whole = embedops.learn(method, build(), pictures, "<toy>", out=tmp_path / "whole", **QUICK)

    def stop(report: StepReport) -> None:
        if report.step == 4:
            raise KeyboardInterrupt

    half = tmp_path / "half"
    pipe = build()
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


@families
def test_all_encoders_learn(build: Build, pictures: Path, tmp_path: Path) -> None:
    pipe = build()
    encoders = {name for name in modules(pipe) if name.startswith("text_encoder")}
    adapter = adapter_for(pipe)
    start = rows_of_words(Task(adapter, adapter.denoising(), [], "<toy>", 0), "cat", 2)
    settings = {**QUICK, "vectors": 2, "check_every": 6}
    concept = embedops.learn(
        "textual-inversion", pipe, pictures, "<toy>", out=tmp_path / "out", **settings
    )
    assert set(concept.vectors) == encoders
    for name, rows in concept.vectors.items():
        # Without a gradient AdamW's decay alone would move them, by some 1e-4.
        assert float((rows - start[name]).abs().mean(1).min()) > 2e-3


@flows
def test_a_flow_is_learnt(build: Build, pictures: Path, tmp_path: Path) -> None:
    reports: list[StepReport] = []
    embedops.learn(
        "textual-inversion",
        build(),
        pictures,
        "<toy>",
        out=tmp_path / "out",
        on_step=reports.append,
        steps=10,
        batch=8,
        rate=0.01,
        init="cat",
        templates=("a {}",),
        check_every=1,
        timesteps="logit-normal",
    )
    checks = [report.check for report in reports if report.check is not None]
    assert checks[-1] < checks[0]


@pytest.mark.parametrize(
    ("build", "precision"),
    [*((build, "bf16") for build in BUILDS), (tiny.stable_diffusion, "fp16")],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_mixed_precision(build: Build, precision: str, pictures: Path, tmp_path: Path) -> None:
    full, mixed = (
        embedops.learn(
            "textual-inversion",
            build(),
            pictures,
            "<toy>",
            out=tmp_path / name,
            precision=name,
            **QUICK,
        )
        for name in ("no", precision)
    )
    assert mixed != full
    for encoder, rows in mixed.vectors.items():
        assert rows.dtype == torch.float32
        torch.testing.assert_close(rows, full.vectors[encoder], atol=2e-2, rtol=0)


@families
def test_a_pipeline_in_half_precision(build: Build, pictures: Path, tmp_path: Path) -> None:
    pipe = build().to(torch.bfloat16)
    for method in METHODS:
        concept = embedops.learn(method, pipe, pictures, "<toy>", out=tmp_path / method, **QUICK)
        assert all(rows.dtype == torch.float32 for rows in concept.vectors.values())
        with embedops.attach(pipe) as session:
            session.add(concept)
            assert bool(torch.isfinite(draw(pipe, "a <toy>")).all())


def test_a_concept_tells_the_models_name_and_not_where_it_lies(
    pictures: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "models" / "mine"
    tiny.stable_diffusion().save_pretrained(folder)
    pipe = embedops.load(str(folder), device="cpu")
    concept = embedops.learn("cross-init", pipe, pictures, "<toy>", out=tmp_path / "out", **QUICK)
    assert concept.origin["model"] == "mine"


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


@pytest.mark.parametrize(
    ("steps", "batch", "expected"),
    [(12, 8, [4, 8, 12]), (12, 1, [12]), (60, 8, [*range(6, 61, 6)])],
)
def test_checks_take_a_fifth_of_the_time_at_most(
    steps: int, batch: int, expected: list[int], pictures: Path, tmp_path: Path
) -> None:
    checked: list[int] = []

    def note(report: StepReport) -> None:
        if report.check is not None:
            checked.append(report.step)

    embedops.learn(
        "textual-inversion",
        tiny.stable_diffusion(),
        pictures,
        "<toy>",
        out=tmp_path / "out",
        on_step=note,
        steps=steps,
        batch=batch,
        init="cat",
    )
    assert checked == expected


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


@pytest.mark.parametrize("name", ["checkpoint.safetensors", "log.jsonl"])
def test_files_that_cannot_be_written(name: str, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / name / "in the way").mkdir(parents=True)
    pipe = tiny.stable_diffusion()
    tokenizer = pipe.tokenizer
    with pytest.raises(ConfigError, match=f"{name} cannot be written"):
        embedops.learn("cross-init", pipe, pictures, "<toy>", out=out, **QUICK)
    assert not list(out.glob("*.part"))
    assert pipe.tokenizer is tokenizer


def test_memory_that_runs_out_keeps_the_best_and_says_what_lowers_it(
    pictures: Path, tmp_path: Path
) -> None:
    pipe, steps = tiny.stable_diffusion(), 0

    def fill_up(*_: object) -> None:
        if steps == 4:
            raise torch.OutOfMemoryError("CUDA out of memory")

    def count(report: StepReport) -> None:
        nonlocal steps
        steps = report.step

    handle = pipe.unet.register_forward_pre_hook(fill_up)
    with pytest.raises(
        LearningError, match=r"at step 5.*`batch` \(now 2\).*gradient_checkpointing"
    ):
        embedops.learn(
            "cross-init", pipe, pictures, "<toy>", out=tmp_path / "out", on_step=count, **QUICK
        )
    handle.remove()
    kept = Concept.load(tmp_path / "out" / "concept.safetensors")
    assert bool(torch.isfinite(kept.vectors["text_encoder"]).all())
    assert all(p.requires_grad for p in pipe.unet.parameters())


def test_stopping_keeps_the_best(pictures: Path, tmp_path: Path) -> None:
    pipe = tiny.stable_diffusion()
    checks: list[tuple[int, Concept]] = []

    def stop(report: StepReport) -> None:
        if report.step == 3:
            raise embedops.StopLearning

    concept = embedops.learn(
        "cross-init",
        pipe,
        pictures,
        "<toy>",
        out=tmp_path / "out",
        on_step=stop,
        on_check=lambda report, now: checks.append((report.step, now)),
        **QUICK,
    )
    assert [step for step, _ in checks] == [2]
    assert concept.origin["step"] in ("2", "3")
    assert Concept.load(tmp_path / "out" / "concept.safetensors") == concept


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
    with pytest.raises(ConfigError, match="timesteps='logit-normal' is for flow matching"):
        learn(timesteps="logit-normal")
    with pytest.raises(UnsupportedPipelineError, match="that learn: flux, stable-diffusion,"):
        embedops.learn("cross-init", kolors.kolors(), pictures, "<toy>", out=tmp_path / "out")


def test_min_snr_is_not_for_a_flow(pictures: Path, tmp_path: Path) -> None:
    pipe = flux.small_flux()
    tokenizers = pipe.tokenizer, pipe.tokenizer_2
    with pytest.raises(ConfigError, match="timesteps='logit-normal'"):
        embedops.learn(
            "cross-init", pipe, pictures, "<toy>", out=tmp_path / "out", weighting="min-snr"
        )
    assert (pipe.tokenizer, pipe.tokenizer_2) == tokenizers
