"""Running the command line inside the test's own process, and a model folder to run it on."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
from commands import Result, Run

from embedops.cli import main


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny pipeline in diffusers format."""
    folder = tmp_path_factory.mktemp("model")
    tiny.stable_diffusion().save_pretrained(folder)
    return folder


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `embedops` with the arguments given."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")

    def call(*arguments: object) -> Result:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Result(int(left.value.code or 0), captured.out, captured.err)

    return call


@pytest.fixture
def say_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The plugin of `probe`, installed the way that anybody's would be."""
    about = tmp_path / "installed" / "probe-3.2.1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: probe\nVersion: 3.2.1\n")
    (about / "entry_points.txt").write_text("[embedops.plugins]\nsay = probe:Say\n")
    monkeypatch.syspath_prepend(about.parent)
    return "say"
