from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

TESTS = Path(__file__).parents[2]
SCRIPT = """
import sys
import embedops, tiny
concept = embedops.learn(
    "detex", tiny.stable_diffusion(), sys.argv[1], "<toy>", out=sys.argv[2],
    steps=3, batch=1, init="cat", check_every=3, rank=2,
)
sys.stdout.write(f"sum {float(concept.vectors['text_encoder'].sum()):.10f}\\n")
"""


@pytest.mark.slow
def test_two_processes_learn_one_concept(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name in ("red", "blue", "green"):
        Image.new("RGB", (32, 32), name).save(pictures / f"{name}.png")
    script = tmp_path / "learn.py"
    script.write_text(SCRIPT)
    sums = []
    for processes in (1, 2):
        out = tmp_path / f"out{processes}"
        command = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
        done = subprocess.run(
            [sys.executable, *command, str(script), str(pictures), str(out)],
            env={**os.environ, "PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        found = [line for line in done.stdout.splitlines() if line.startswith("sum ")]
        assert len(found) == processes
        assert len((out / "log.jsonl").read_text().splitlines()) == 3
        sums.append(set(found))
    assert len(sums[1]) == 1, "the processes end with the same concept"
    assert sums[0] != sums[1], "each adds pictures of its own to a step"
