"""What a step of learning costs, against textual inversion taken literally.

Run with `python benchmarks/learning_cost.py`. The networks have the sizes of Stable Diffusion 1.5
and random weights. The literal procedure optimises the whole embedding table, puts the other rows
back and encodes the pictures in every step; `literal_inversion.py` says how. Ours are
`embedops.learn` as anybody calls it. All are run by turns in one process, on the same pictures and
with the same batch, and the first step of every turn is left out. Times are processor time of one
thread.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import gc
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import records
import torch
from literal_inversion import LiteralInversion
from PIL import Image
from real_shapes import stable_diffusion
from rich.console import Console
from rich.progress import track
from rich.table import Table
from safetensors import safe_open
from tensor_memory import watched, weights

import embedops
from embedops.learning.checkpoint import FILE
from embedops.learning.loop import StepReport
from embedops.learning.pictures import read_pictures

_METHODS = ("textual-inversion", "cross-init", "cones")
_TEMPLATES = ("a {}", "a photo of a {}", "a picture of a {}", "one {}")
_INIT = "cat"
LITERAL = "literal"


class _EnoughError(Exception):
    """Ends a run after the steps that were to be timed."""


DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
"""Of the frozen networks; what is learnt is float32 in every procedure."""


class Bench:
    """Steps of every procedure with one pipeline.

    Args:
        pipe: a Stable Diffusion pipeline with a VAE.
        pictures: a folder of pictures.
        batch: pictures a step.
    """

    def __init__(self, pipe: Any, pictures: Path, batch: int) -> None:
        self._pipe, self._folder, self._batch = pipe, pictures, batch
        size = int(pipe.unet.config.sample_size * pipe.vae_scale_factor)
        self._pixels = torch.stack([p.pixels for p in read_pictures(pictures, size)])
        self.parts: list[dict[str, float]] = []

    def literal(self, steps: int) -> list[float]:
        """Seconds of each step."""
        run = self._literal_run()
        parts = [run.step(self._batch) for _ in range(steps + 1)][1:]
        self.parts += parts
        return [sum(one.values()) for one in parts]

    def ours(self, method: str, steps: int) -> list[float]:
        """Seconds of each step of `embedops.learn`."""
        ends: list[float] = []

        def note(report: StepReport) -> None:
            ends.append(time.process_time())
            if report.step == steps + 1:
                raise _EnoughError

        with contextlib.suppress(_EnoughError):
            self._learn(method, steps + 2, note)
        return [b - a for a, b in itertools.pairwise(ends)]

    def memory(self) -> dict[str, dict[str, int]]:
        """Per procedure the peak of what one step and its preparation take beside the networks,
        and what the optimiser keeps, in bytes."""
        gc.collect()
        with watched() as memory:
            run = self._literal_run()
            run.step(self._batch)
        # Its copy of the encoder is the benchmark's: otherwise the pipeline's own learns.
        peak = memory.peak - weights(run.encoder)
        found = {LITERAL: {"peak": peak, "optimiser": run.state_bytes()}}
        del run
        for method in _METHODS:
            gc.collect()
            with watched() as memory:
                kept = self._learn(method, 1)
            found[method] = {"peak": memory.peak, "optimiser": kept}
        return found

    def _literal_run(self) -> LiteralInversion:
        mixed = self._pipe.unet.dtype == torch.bfloat16
        return LiteralInversion(self._pipe, self._pixels, _INIT, _TEMPLATES, mixed=mixed)

    def _learn(
        self, method: str, steps: int, on_step: Callable[[StepReport], None] | None = None
    ) -> int:
        """A run; returns the bytes that its optimiser keeps, as its checkpoint has them."""
        with tempfile.TemporaryDirectory() as out:
            embedops.learn(
                method,
                self._pipe,
                self._folder,
                "<toy>",
                out=out,
                on_step=on_step,
                init=_INIT,
                steps=steps,
                batch=self._batch,
                templates=_TEMPLATES,
                check_every=steps,
            )
            with safe_open(Path(out) / FILE, "pt") as file:
                names = [n for n in file.keys() if n.startswith("optimizer.")]  # noqa: SIM118
                return sum(file.get_tensor(name).nbytes for name in names)


def draw_pictures(folder: Path, count: int, size: int) -> None:
    """Pictures of noise."""
    random = np.random.default_rng(0)
    for number in range(count):
        pixels = random.integers(0, 256, (size, size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")


def measure(pipe: Any, pictures: Path, batch: int, steps: int, turns: int) -> dict[str, Any]:
    """Every procedure in every dtype, by turns; `steps` timed steps a turn."""
    benches = {name: Bench(_cast(pipe, dtype), pictures, batch) for name, dtype in DTYPES.items()}
    seconds = {name: {each: [] for each in (LITERAL, *_METHODS)} for name in benches}
    for _ in track(range(turns), "turns", transient=True):
        for name, bench in benches.items():
            seconds[name][LITERAL] += bench.literal(steps)
            for method in _METHODS:
                seconds[name][method] += bench.ours(method, steps)
    return {
        "batch": batch,
        "steps": steps,
        "turns": turns,
        "seconds": {
            name: {each: records.spread(values) for each, values in row.items()}
            for name, row in seconds.items()
        },
        "literal_parts": {
            name: {part: statistics.median(p[part] for p in bench.parts) for part in bench.parts[0]}
            for name, bench in benches.items()
        },
        "memory": {name: bench.memory() for name, bench in benches.items()},
    }


def _cast(pipe: Any, dtype: torch.dtype) -> Any:
    parts = dict(pipe.components)
    for name in ("unet", "vae", "text_encoder"):
        if parts[name].dtype != dtype:
            parts[name] = copy.deepcopy(parts[name]).to(dtype)
    return type(pipe)(**parts, requires_safety_checker=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=256, help="side of the pictures in pixels")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--steps", type=int, default=2, help="timed steps a turn")
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    console = Console()
    pipe = stable_diffusion("cpu", torch.float32, vae=True)
    pipe.unet.register_to_config(sample_size=given.size // pipe.vae_scale_factor)
    with tempfile.TemporaryDirectory() as folder:
        draw_pictures(Path(folder), 2, given.size)
        result = measure(pipe, Path(folder), given.batch, given.steps, given.turns)
    path = records.write("learning_cost", {"size": given.size, **result})
    for kind, row in result["seconds"].items():
        table = Table(kind, "seconds a step", "low", "high")
        for name, found in row.items():
            table.add_row(name, *(f"{found[key]:.2f}" for key in ("median", "low", "high")))
        console.print(table)
    console.print(result["literal_parts"], result["memory"])
    console.print(f"kept in {path}")


if __name__ == "__main__":
    main()
