from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        cwd=ROOT / "benchmarks",
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )


def test_the_readme_says_what_was_measured() -> None:
    done = run("publish.py", "--check")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "name",
    [
        "weapons",
        "encoder_time",
        "steering_algebra",
        "memory",
        "real_size",
        "learning_cost",
        "learning",
    ],
)
def test_results_say_where_they_come_from(name: str) -> None:
    kept = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())
    assert {"processor", "cores", "threads", "torch"} <= set(kept["machine"])
    assert (ROOT / "benchmarks" / f"{name}.py").is_file()


@pytest.mark.slow
def test_the_drawing_benchmark_runs_at_a_small_size() -> None:
    done = run("weapons.py", "--share", "0.03", "--steps", "2", "--only", "redact", "--no-result")
    assert done.returncode == 0, done.stderr
    assert "harmless prompts touched" in done.stdout
    assert "redact" in done.stdout
