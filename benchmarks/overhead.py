"""What a session adds to the denoising steps, for every family and for the embedded model.

Run with `python benchmarks/overhead.py`. On the tiny pipelines of the conformance suite the time
inside the session's hooks is taken by clocks around them: it does not depend on the denoiser's
size, so that it is what a real model pays at each step too. On the embedded model whole calls are
compared: plain, with a session whose edit holds at every step, with `redact` and with `safree`,
by turns. One thread.
"""

from __future__ import annotations

import importlib.util
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import records
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

import embedops
from embedops.families import adapter_for
from embedops.testing import Case, Conformance, read_as

TESTS = Path(__file__).parents[1] / "tests"
_RUNS = 5
_TURNS = 7
STEPS = 20
PROMPTS = ["a pistol on the beach", "a cat on the beach"]


def cases() -> list[Case]:
    """Every pipeline that the conformance suite runs."""
    sys.path.insert(0, str(TESTS))
    found: dict[str, Case] = {}
    for file in sorted((TESTS / "embedops_pipelines").glob("test_*.py")):
        spec = importlib.util.spec_from_file_location(f"cases_of_{file.stem}", file)
        if spec is None or spec.loader is None:
            raise ImportError(f"cannot import {file}")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Conformance):
                found |= {case.name: case for case in value.cases}
    return list(found.values())


@contextmanager
def clocks(pipe: Any) -> Iterator[list[float]]:
    """Seconds spent between the first and the last pre-hook of each denoiser call."""
    spent: list[float] = []
    begun = 0.0

    def begin(*_: object) -> None:
        nonlocal begun
        begun = time.perf_counter()

    def end(*_: object) -> None:
        spent.append(time.perf_counter() - begun)

    parts = (getattr(pipe, name, None) for name in adapter_for(pipe).denoisers)
    handles = []
    for part in parts:
        if part is not None:
            handles.append(part.register_forward_pre_hook(begin, prepend=True))
            handles.append(part.register_forward_pre_hook(end))
    try:
        yield spent
    finally:
        for handle in handles:
            handle.remove()


def hooks(case: Case) -> dict[str, Any]:
    """Microseconds that the session's hooks take, in the first step and in later ones."""
    pipe = case.build()
    prompts = ["a photo of a pistol", "a dog on the table"]
    first, later = [], []
    with embedops.attach(pipe, read_as()):
        case.run(pipe, prompts)
        for _ in range(_RUNS):
            with clocks(pipe) as spent:
                case.run(pipe, prompts)
            calls = len(spent) // case.steps
            first.append(sum(spent[:calls]) * 1e6)
            # The second step of a pipeline that makes its tensors anew is like the first.
            steps = [sum(spent[i : i + calls]) for i in range(2 * calls, len(spent), calls)]
            later += [s * 1e6 for s in steps]
    return {
        "pipeline": case.name,
        "family": adapter_for(pipe).family,
        "first_us": statistics.median(first),
        "later_us": statistics.median(later),
        "later_low": min(later),
        "later_high": max(later),
    }


def stacks() -> dict[str, list[embedops.AnyPlugin]]:
    """What is attached to the embedded model."""
    return {
        "every row edited at every step": [read_as("a cat", where="on")],
        "redact": [embedops.plugin("redact", concepts=["weapons"])],
        "safree": [embedops.plugin("safree", concepts=["weapons"])],
    }


def calls() -> list[dict[str, Any]]:
    """Seconds of whole calls of the embedded model, and their ratio to plain ones."""
    pipe = embedops.load("emoji", device="cpu")
    pipe.set_progress_bar_config(disable=True)

    def call() -> float:
        begun = time.process_time()
        generators = [torch.Generator().manual_seed(n) for n in range(len(PROMPTS))]
        pipe(PROMPTS, generator=generators, num_inference_steps=STEPS, guidance_scale=4.0)
        return time.process_time() - begun

    rows = []
    for name, stack in track(stacks().items(), "whole calls"):
        session = embedops.attach(pipe, *stack)
        call()  # what is computed once a session is not a call's
        plain, spent = [], []
        for _ in range(_TURNS):
            spent.append(call())
            session.detach()
            plain.append(call())
            session.attach()
        session.detach()
        ratios = [ours / theirs for ours, theirs in zip(spent, plain, strict=True)]
        rows.append(
            {
                "with": name,
                "seconds": statistics.median(spent),
                "ratio": statistics.median(ratios),
                "low": min(ratios),
                "high": max(ratios),
            }
        )
    return rows


def main() -> None:
    torch.set_num_threads(1)
    whole = calls()
    families = [hooks(case) for case in track(cases(), "families")]
    path = records.write(
        "overhead",
        {
            "steps": STEPS,
            "prompts": len(PROMPTS),
            "turns": _TURNS,
            "runs": _RUNS,
            "calls": whole,
            "families": families,
        },
    )
    table = Table("pipeline", "first step µs", "later steps µs")
    for row in families:
        table.add_row(row["pipeline"], f"{row['first_us']:.0f}", f"{row['later_us']:.0f}")
    console = Console()
    console.print(table)
    for row in whole:
        console.print(f"{row['with']}: {row['ratio']:.3f} ({row['low']:.3f}–{row['high']:.3f})")
    console.print(f"kept in {path}")


if __name__ == "__main__":
    main()
