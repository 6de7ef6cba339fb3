from __future__ import annotations

import io
from pathlib import Path

import pytest
from commands import Run

import embedops

PROMPTS = ["a pistol on the table", "a cat"]


@pytest.fixture
def settings(model: Path, say_plugin: str) -> tuple[object, ...]:
    return ("--model", model, "--plugin", say_plugin, "--set", "stop=0.5")


def test_json_is_what_python_says(run: Run, model: Path) -> None:
    records = run("screen", *PROMPTS, "--model", model, "--phrases", "a gun", "--json").json
    stack = [embedops.plugin("safree", phrases="a gun")]
    verdicts = embedops.screen(embedops.load(str(model)), PROMPTS, stack)
    for record, verdict in zip(records, verdicts, strict=True):
        assert record["prompt"] == verdict.prompt
        assert record["flagged"] is verdict.flagged
        assert record["steps"] == [s for w in verdict.windows for s in w.steps(50)]
        for told, token in zip(
            record["traces"][0]["tokens"], verdict.traces[0].tokens, strict=True
        ):
            assert told["text"] == token.text
            assert told["triggered"] is token.triggered
            assert told["score"] == pytest.approx(token.score)


def test_the_table_shows_tokens_scores_and_steps(run: Run, model: Path) -> None:
    arguments = ("screen", PROMPTS[0], "--model", model, "--phrases", "a gun")
    result = run(*arguments)
    [record] = run(*arguments, "--json").json
    for token in record["traces"][0]["tokens"]:
        assert f"{token['score']:.4f}" in result.out
        assert token["text"] in result.out
    assert result.out.count("yes") == sum(t["triggered"] for t in record["traces"][0]["tokens"])


def test_prompts_from_a_file_and_from_standard_input(
    run: Run, settings: tuple[object, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = tmp_path / "prompts.txt"
    listed.write_text("a pistol\n\n  a dog \n")
    records = run("screen", "a cat", "--file", listed, *settings, "--json").json
    assert [record["prompt"] for record in records] == ["a cat", "a pistol", "a dog"]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a pistol\n")))
    [record] = run("screen", "--file", "-", *settings, "--json").json
    assert record["flagged"] is True
    assert record["steps"] == list(range(25))


def test_exit_status(run: Run, settings: tuple[object, ...]) -> None:
    assert run("screen", *PROMPTS, *settings).code == 0
    assert run("screen", *PROMPTS, *settings, "--fail-on-flag").code == 1
    assert run("screen", "a cat", *settings, "--fail-on-flag").code == 0


def test_steps_are_told_as_spans(run: Run, settings: tuple[object, ...]) -> None:
    result = run("screen", *PROMPTS, *settings, "--steps", 8)
    assert "a pistol on the table: flagged, edited in 0–3 of 8 steps" in result.out
    assert "a cat: not flagged, left as it is" in result.out
