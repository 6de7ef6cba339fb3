from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from PIL import Image

import embedops
from embedops import Concept
from embedops.app import snippets, stacks
from embedops.app.jobs import Job
from embedops.app.snippets import Call, Use
from embedops.app.studio import Studio
from embedops.cli import main
from embedops.drawing import Drawn

STACK = [
    Use("redact", {"phrases": ("a gun",), "strength": 0.5, "neutral": "it's a thing"}),
    Use("safree", {"phrases": ("a gun",), "self_validation": False}),
]
DECOR = [Use("decor", {"phrases": ("gun", "a knife"), "positions": ("words", "pad"), "rank": 2})]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("a model's folder")
    tiny.stable_diffusion().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def here(model: Path) -> Studio:
    return Studio(str(model), lambda: embedops.load(str(model)))


def a_call(model: Path, **changes: Any) -> Call:
    settings = {"num_inference_steps": 3, "guidance_scale": 3.0}
    prompts = ["a gun in the snow, it's 'night'", "a cat"]
    return Call(str(model), prompts, seed=5, each=2, settings=settings, **changes)


def drawn_here(studio: Studio, call: Call, stack: list[Use], *concepts: Concept) -> list[Any]:
    found: list[Drawn] = []

    def work(job: Job[Drawn]) -> Any:
        yield studio.draw(job, call, stacks.made(stack), concepts)

    found = [told for told in Job(studio.turns, work).results() if isinstance(told, Drawn)]
    return [np.asarray(image) for image in found[0].images]


def words(command: str) -> list[str]:
    """As a shell reads it."""
    return shlex.split(command.replace("\\\n", ""))


def same(first: Any, second: Any) -> bool:
    return len(first) == len(second) and all(
        np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(first, second, strict=True)
    )


@pytest.mark.parametrize("stack", [STACK, DECOR], ids=["guards", "decor"])
def test_the_python_draws_what_the_page_draws(
    stack: list[Use], here: Studio, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = a_call(model)
    scope: dict[str, Any] = {}
    exec(compile(snippets.drawing(call, [], stack), "snippet", "exec"), scope)  # noqa: S102
    assert same(scope["plain"], drawn_here(here, call, []))
    assert same(scope["steered"], drawn_here(here, call, stack))
    assert not same(scope["plain"], scope["steered"])
    assert "edited in" in capsys.readouterr().out


@pytest.mark.parametrize("stack", [[], STACK, DECOR], ids=["plain", "guards", "decor"])
def test_the_command_draws_what_the_page_draws(
    stack: list[Use], here: Studio, model: Path, tmp_path: Path
) -> None:
    call = a_call(model)
    program, *arguments = words(snippets.command(call, stack))
    assert program == "embedops"
    with pytest.raises(SystemExit) as left:
        main([*arguments, "--out", str(tmp_path)])
    assert not left.value.code
    written = [Image.open(path) for path in sorted(tmp_path.glob("*.png"))]
    assert same(written, drawn_here(here, call, stack))


def test_a_learned_concept_is_in_both(here: Studio, model: Path, tmp_path: Path) -> None:
    import torch

    width = here.pipe.text_encoder.config.hidden_size
    concept = Concept("<toy>", {"text_encoder": torch.ones(1, width)})
    file = concept.save(tmp_path / "toy.safetensors")
    call = Call(str(model), ["a <toy>"], settings={"num_inference_steps": 2}, concepts=[str(file)])
    scope: dict[str, Any] = {}
    exec(compile(snippets.drawing(call, []), "snippet", "exec"), scope)  # noqa: S102
    expected = drawn_here(here, call, [], concept)
    assert same(scope["pictures"], expected)
    arguments = words(snippets.command(call, []))[1:]
    with pytest.raises(SystemExit) as left:
        main([*arguments, "--out", str(tmp_path / "out")])
    assert not left.value.code
    [written] = (tmp_path / "out").glob("*.png")
    assert np.array_equal(np.asarray(Image.open(written)), expected[0])


def test_learning_is_the_same_in_both(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = tmp_path / "my photos"
    pictures.mkdir()
    for number in range(2):
        Image.new("RGB", (32, 32), (90 * number, 40, 40)).save(pictures / f"{number}.png")
        Image.new("L", (32, 32), "white").save(pictures / f"{number}-mask.png")
    settings = {"init": "cat", "steps": 3, "rate": 0.01, "templates": ("a {}", "one {}")}
    use = Use("textual-inversion", settings)
    call = Call(str(model), ["a <toy>"], 4, settings={"num_inference_steps": 2})
    python, command = snippets.learning(call, str(pictures), "<toy>", use, str(pictures))
    monkeypatch.chdir(tmp_path)
    scope: dict[str, Any] = {}
    exec(compile(python, "snippet", "exec"), scope)  # noqa: S102
    first = Concept.load(tmp_path / "learnt" / "concept.safetensors")
    assert scope["concept"] == first
    (tmp_path / "learnt").rename(tmp_path / "before")
    with pytest.raises(SystemExit) as left:
        main([*words(command)[1:], "--no-sheet"])
    assert not left.value.code
    assert Concept.load(tmp_path / "learnt" / "concept.safetensors") == first
