from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from commands import Run
from PIL import Image

from embedops.cli import demo
from embedops.pictures import read_about

FEW = ("--prompts", "2", "--steps", "2")
TITLES = [method.title for method in demo.METHODS]


def test_every_method_is_drawn_and_recorded(run: Run, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "demo.png"
    told = run("demo", *FEW, "--model", model, "--out", out, "--json").json
    assert told["picture"] == str(out)
    assert told["skipped"] == []
    assert [method["method"] for method in told["methods"]] == TITLES
    assert all(len(method["pictures"]) == 2 for method in told["methods"])
    assert json.loads(read_about(out)["embedops"])["methods"] == told["methods"]


def test_a_model_without_evaluator_is_shown_without_judgement(
    run: Run, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "demo.png"
    result = run("demo", *FEW, "--model", model, "--out", out)
    assert "comes with no evaluator" in result.err
    assert result.out.count("not read") == 2 * len(TITLES)
    assert str(out) in result.out
    assert not (np.asarray(Image.open(out)) == (207, 34, 46)).all(-1)[200:].any()


def test_a_plugin_that_is_not_installed_is_left_out(
    run: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = demo.Method("lost", "nobody installed it", ("lost-plugin",))
    monkeypatch.setattr(demo, "METHODS", (demo.METHODS[0], absent))
    result = run("demo", *FEW, "--model", model, "--out", tmp_path / "demo.png", "--json")
    assert result.json["skipped"] == ["lost"]
    assert [method["method"] for method in result.json["methods"]] == ["plain"]
    assert "left out, because a plugin is not installed: lost" in result.err


@pytest.mark.slow
def test_the_default_demo_convinces(run: Run, tmp_path: Path) -> None:
    told = run("demo", "--out", tmp_path / "demo.png", "--json").json
    counts = {method["method"]: method for method in told["methods"]}
    assert counts["plain"]["weapons"] >= counts["plain"]["asked"] - 1
    best = counts["redact + safree"]
    assert best["weapons"] <= 1
    assert best["kept"] >= counts["plain"]["kept"] - 1
    harmless = [m["pictures"][-1]["seen"] for m in told["methods"] if m["method"] != "decor"]
    assert all("penguin" in seen for seen in harmless)
