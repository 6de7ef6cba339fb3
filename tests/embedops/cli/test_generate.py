from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import Run
from PIL import Image

import embedops
from embedops.pictures import read_about

SMALL = ("--steps", "3", "--height", "16", "--width", "16")


@pytest.fixture
def settings(model: Path, tmp_path: Path) -> tuple[object, ...]:
    return ("--model", model, "--out", tmp_path, *SMALL)


def pixels(path: str | Path) -> Any:
    return np.asarray(Image.open(path))


def test_pictures_are_those_of_the_pipeline(
    run: Run, settings: tuple[object, ...], model: Path
) -> None:
    records = run(
        "generate", "a cat", "a dog", *settings, "--seed", 5, "--guidance", 3, "--json"
    ).json["images"]
    pipe = embedops.load(str(model))
    expected = pipe(
        ["a cat", "a dog"],
        num_inference_steps=3,
        guidance_scale=3.0,
        height=16,
        width=16,
        generator=[torch.Generator().manual_seed(seed) for seed in (5, 6)],
    ).images
    for record, image in zip(records, expected, strict=True):
        assert np.array_equal(pixels(record["path"]), np.asarray(image))


def test_guidance_of_zero_is_not_taken_for_none_given(
    run: Run, settings: tuple[object, ...]
) -> None:
    arguments = ("generate", "a cat", *settings, "--negative", "a dog", "--json", "--guidance")
    free, pushed = (run(*arguments, scale).json for scale in (0, 7))
    assert (free["guidance_scale"], pushed["guidance_scale"]) == (0.0, 7.0)
    first, second = (pixels(told["images"][0]["path"]) for told in (free, pushed))
    assert not np.array_equal(first, second)


def test_each_picture_says_how_it_was_made(run: Run, settings: tuple[object, ...]) -> None:
    arguments = ("generate", "a pistol", "a … cat", "-n", 2, "--seed", 3, "--negative", "snow")
    plugins = ("--plugin", "safree", "--phrases", "a gun", "--set", "self_validation=false")
    result = run(*arguments, *plugins, *settings, "--json").json
    assert [image["seed"] for image in result["images"]] == [3, 4, 5, 6]
    assert [image["prompt"] for image in result["images"]] == ["a pistol"] * 2 + ["a … cat"] * 2
    for record in result["images"]:
        about = read_about(Path(record["path"]))
        assert about["prompt"] == record["prompt"]
        assert about["negative_prompt"] == "snow"
        assert about["seed"] == str(record["seed"])
        whole = json.loads(about["embedops"])
        assert whole["report"] == record["report"]
        assert whole["num_inference_steps"] == 3
        assert whole["versions"]["torch"] == torch.__version__
        [plugin] = whole["plugins"]
        assert plugin["name"] == "safree"
        assert plugin["settings"]["phrases"] == ["a gun"]
        assert plugin["settings"]["self_validation"] is False
        assert record["report"]["prompt"] == record["prompt"]
        flagged = record["report"]["flagged"]
        assert record["report"]["steps"] == ([0, 1, 2] if flagged else [])


def test_a_plugin_changes_the_pictures_and_only_those_it_edits(
    run: Run, settings: tuple[object, ...], say_plugin: str
) -> None:
    def draw(*arguments: object) -> list[Any]:
        records = run("generate", *arguments, *settings, "--json").json["images"]
        return [pixels(record["path"]) for record in records]

    plain = draw("a pistol", "a dog")
    said = draw("a cat on the beach", "a dog")
    steered = draw("a pistol", "a dog", "--plugin", say_plugin)
    assert np.array_equal(steered[0], said[0])
    assert np.array_equal(steered[1], plain[1])
    assert not np.array_equal(steered[0], plain[0])


def test_nothing_is_overwritten(run: Run, settings: tuple[object, ...], tmp_path: Path) -> None:
    for _ in range(2):
        assert run("generate", "A cat, on a beach!", *settings).code == 0
    names = sorted(path.name for path in tmp_path.glob("*.png"))
    assert names == ["0001-a-cat-on-a-beach.png", "0002-a-cat-on-a-beach.png"]


def test_batches_keep_prompts_and_seeds_together(run: Run, settings: tuple[object, ...]) -> None:
    prompts = ["a cat", "a dog", "a pistol"]
    records = [
        run("generate", *prompts, *settings, "-n", 2, "--batch", size, "--json").json["images"]
        for size in (1, 3)
    ]
    for one, all_at_once in zip(*records, strict=True):
        assert (one["prompt"], one["seed"]) == (all_at_once["prompt"], all_at_once["seed"])
        difference = pixels(one["path"]).astype(int) - pixels(all_at_once["path"])
        assert np.abs(difference).max() <= 1  # another batch size rounds differently


def test_the_table_names_the_files(
    run: Run,
    settings: tuple[object, ...],
    tmp_path: Path,
    say_plugin: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wide = run("generate", "a [red] pistol", *settings, "--plugin", say_plugin)
    assert str(tmp_path / "0001-a-red-pistol.png") in wide.out
    assert "a [red] pistol" in wide.out
    assert "edited in 3 of 3 steps" in wide.out
    monkeypatch.setenv("COLUMNS", str(len(str(tmp_path)) + 60))
    narrow = run("generate", "a pistol " * 9, *settings, "--plugin", say_plugin)
    assert str(next(tmp_path.glob("0002-*.png"))) in narrow.out
