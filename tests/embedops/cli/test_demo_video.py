from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import Run
from PIL import Image

from embedops.pictures import read_about


def test_a_moving_comparison_is_written(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "new" / "demo.png"
    told = run("demo", "--video", "--prompts", "1", "--steps", "2", "--out", out, "--json").json
    assert told["picture"] == str(out.with_suffix(".gif"))
    assert [method["method"] for method in told["methods"]] == ["plain", "safree", "redact"]
    with Image.open(told["picture"]) as moving:
        assert moving.n_frames == 8  # type: ignore[attr-defined]  # of animated formats
        assert json.loads(moving.info["comment"])["methods"] == told["methods"]


def test_generate_writes_moving_pictures(run: Run, tmp_path: Path) -> None:
    drawn = run(
        "generate",
        "a cat falling in the snow",
        *("--model", "emoji-video", "--steps", "2", "--plugin", "redact", "--concepts", "weapons"),
        *("--out", tmp_path, "--json"),
    ).json
    path = Path(drawn["images"][0]["path"])
    assert path.suffix == ".png"
    with Image.open(path) as moving:
        assert moving.n_frames == 8  # type: ignore[attr-defined]
    assert read_about(path)["prompt"] == "a cat falling in the snow"
    assert drawn["images"][0]["report"]["flagged"] is False


@pytest.mark.slow
def test_the_moving_demo_convinces(run: Run, tmp_path: Path) -> None:
    told = run("demo", "--video", "--prompts", "2", "--out", tmp_path / "demo.gif", "--json").json
    counts = {method["method"]: method for method in told["methods"]}
    assert counts["plain"]["weapons"] >= counts["plain"]["asked"] - 1
    assert counts["redact"]["weapons"] == 0
    assert counts["redact"]["kept"] >= counts["plain"]["kept"] - 1
