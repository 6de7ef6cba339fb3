from __future__ import annotations

from pathlib import Path

import pytest
from commands import Run
from PIL import Image

from embedops import Concept

CASTLE = str(Path(__file__).parents[3] / "examples/subjects/castle")
QUICK = ("--set", "steps=2", "--set", "batch=2", "--set", "check_every=1")


@pytest.mark.slow
def test_learn_then_generate(run: Run, tmp_path: Path) -> None:
    out = str(tmp_path / "learnt")
    learnt = run(
        *("learn", "cross-init", "--images", CASTLE, "--token", "<castle>", "--init", "house"),
        *("--out", out, "--json", *QUICK),
    )
    assert learnt.code == 0, learnt.err
    told = learnt.json
    assert told["token"] == "<castle>"
    assert Image.open(told["sheet"]).size == (768, 384)
    assert Concept.load(told["concept"]).origin["method"] == "cross-init"
    assert len(Path(told["log"]).read_text().splitlines()) == 2

    def draw(*more: str) -> Image.Image:
        prompt = "a <castle> in the snow"
        drawn = run("generate", prompt, "--steps", "2", "--out", out, "--json", *more)
        assert drawn.code == 0, drawn.err
        return Image.open(drawn.json["images"][0]["path"])

    assert draw("--concept", told["concept"]).tobytes() != draw().tobytes()


def test_wrong_input(run: Run, tmp_path: Path) -> None:
    images = ("--images", CASTLE, "--out", str(tmp_path))
    for arguments, said in (
        (("cross-inti", *images, "--token", "<a>"), "did you mean 'cross-init'"),
        (("cross-init", *images, "--token", "<a>", "--set", "steps"), "expected KEY=VALUE"),
        (("cross-init", *images, "--token", "<a>", "--set", "steps=0"), "steps"),
        (("cross-init", *images, "--token", "cat"), "word of the model's vocabulary"),
        (("cross-init", "--images", str(tmp_path), "--token", "<a>"), "no pictures in"),
    ):
        result = run("learn", *arguments)
        assert result.code != 0
        assert said in result.err.replace("\n", " ")
        assert "Traceback" not in result.err
    result = run("generate", "a <a>", "--concept", str(tmp_path / "none.safetensors"))
    assert result.code != 0
    assert "is no file" in result.err
