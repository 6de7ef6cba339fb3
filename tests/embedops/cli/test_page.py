from __future__ import annotations

import importlib.util
from importlib.machinery import ModuleSpec

import pytest
from commands import Run


def test_without_gradio_the_command_says_what_to_install(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec

    def without(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == "gradio" else found(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    result = run("app")
    assert result.code == 2
    assert "needs gradio" in result.err
    assert 'pip install "embedops[app]"' in result.err


def test_a_model_that_is_none_is_told_before_anything_is_served(run: Run) -> None:
    result = run("app", "--model", "no-such-folder")
    assert result.code == 2
    assert "no-such-folder" in result.err


def test_sharing_is_off_unless_asked_for(run: Run) -> None:
    helped = run("app", "--help").out
    assert "--share" in helped
    assert "127.0.0.1" in helped
