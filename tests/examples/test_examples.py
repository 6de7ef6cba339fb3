from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"

SAYS = {
    "redact_a_prompt.py": "redact: dagger",
    "screen_prompts.py": '"prompt": "a pistol on a table", "flagged": true, "words": ["pistol"]',
    "compose_plugins.py": "20 steps edited",
    "write_a_plugin.py": "edited in 20 of 20 steps",
    "learn_a_subject.py": "learnt <castle> with <castle-pose-1>",
}
QUICKER = {"learn_a_subject.py": ("--steps", "2")}


def test_every_example_is_run() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(SAYS)


@pytest.mark.slow
@pytest.mark.parametrize("name", SAYS)
def test_examples_run_from_any_folder(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *QUICKER.get(name, ())],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert SAYS[name] in done.stdout
