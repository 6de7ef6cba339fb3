from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker, get_available_trackers
from PIL import Image

import embedops
from embedops import ConfigError, UnknownNameError


class Notebook(GeneralTracker):  # type: ignore[misc]  # accelerate has no types
    name = "notebook"
    requires_logging_directory = False

    def __init__(self) -> None:
        super().__init__()
        self.settings: dict[str, Any] = {}
        self.lines: list[tuple[int, dict[str, float]]] = []
        self.state = "made"

    @property
    def tracker(self) -> Any:
        return self.lines

    def start(self) -> None:
        self.state = "started"

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        self.settings = values

    def log(self, values: dict[str, float], step: int | None = None, **_: Any) -> None:
        assert step is not None
        self.lines.append((step, values))

    def finish(self) -> None:
        self.state = "finished"


def learn(tmp_path: Path, tracker: Any, **settings: Any) -> None:
    image = tmp_path / "a.png"
    Image.new("RGB", (32, 32), "red").save(image)
    pipe = tiny.stable_diffusion()
    out = tmp_path / "out"
    embedops.learn(
        "cross-init", pipe, [image], "<toy>", out=out, tracker=tracker, batch=1, **settings
    )


def test_every_step_is_told(tmp_path: Path) -> None:
    notebook = Notebook()
    learn(tmp_path, notebook, steps=3, check_every=3, init="cat")
    assert [step for step, _ in notebook.lines] == [1, 2, 3]
    assert {"loss", "norm", "moved"} <= set(notebook.lines[0][1])
    assert "check" in notebook.lines[-1][1]
    assert notebook.settings["method"] == "cross-init"
    assert notebook.settings["init"] == "cat"
    assert all(isinstance(v, bool | int | float | str) for v in notebook.settings.values())
    assert notebook.state == "finished"


def test_it_is_closed_when_the_run_fails(tmp_path: Path) -> None:
    notebook = Notebook()
    with pytest.raises(UnknownNameError):
        learn(tmp_path, notebook, step=3)
    assert notebook.state == "made"
    with pytest.raises(ConfigError):
        learn(tmp_path, notebook, init="", steps=1)
    assert notebook.state in ("made", "finished")


def test_unknown_and_missing_trackers(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'tensorboard'"):
        learn(tmp_path, "tensorbord")
    missing = set(LOGGER_TYPE_TO_CLASS) - {str(name) for name in get_available_trackers()}
    for name in sorted(missing)[:1]:
        with pytest.raises(ConfigError, match=f"pip install {name}"):
            learn(tmp_path, name)
