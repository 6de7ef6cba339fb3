"""What a session adds to a call, at the sizes of real models, with random weights.

Run with `python benchmarks/real_size.py --device cuda` for all of them in bfloat16, at the sizes of
pictures and the numbers of steps that people use; `--only sd-1.5` for one. On the CPU pictures are
small and steps few, and a model that does not fit is left out by `--only`. Latents are not decoded:
decoding has a peak of memory of its own, which would hide what a session holds.
"""

from __future__ import annotations

import argparse
import gc
import statistics
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import records
import torch
from real_shapes import SHAPES, Shape
from rich.console import Console
from rich.progress import track
from rich.table import Table
from stopwatch import Lap, Stopwatch
from tensor_memory import Memory, watched, weights

import embedops
from embedops.testing import read_as
from embedops.testing.watching import waits

_PROMPTS = (
    "a photo of a pistol on the beach",
    "a drawing of a small knife under the tree",
    "a red cat near a dagger in the snow",
    "an old man holding a gun in the city",
    "a big dog with a new boat on the river",
)
_PHRASES = ["a pistol", "a gun", "a knife", "a dagger", "a weapon"]
_MEMORY_STEPS = 2


def stacks() -> dict[str, list[embedops.AnyPlugin]]:
    return {
        "every row edited at every step": [read_as("a cat", where="")],
        "redact": [embedops.plugin("redact", phrases=_PHRASES)],
        "safree": [embedops.plugin("safree", phrases=_PHRASES)],
    }


class Bench:
    """One pipeline, called plainly and with sessions.

    Args:
        pipe: the pipeline.
        device: where it runs.
        inputs: of a call, beside the prompt and the steps.
    """

    def __init__(self, pipe: Any, device: torch.device | str, inputs: Mapping[str, Any]) -> None:
        self._pipe, self._device, self._inputs = pipe, torch.device(device), dict(inputs)
        self._watch = Stopwatch(pipe, device)

    def call(self, prompt: str, steps: int) -> None:
        self._pipe(
            prompt=prompt,
            num_inference_steps=steps,
            generator=torch.Generator().manual_seed(0),
            output_type="latent",
            **self._inputs,
        )

    def times(self, steps: int, turns: int) -> tuple[list[Lap], dict[str, list[Lap]]]:
        """Calls by turns: plain ones, and for each stack ones with a session."""
        plain: list[Lap] = []
        found: dict[str, list[Lap]] = {name: [] for name in stacks()}
        sessions = {}
        for name, stack in stacks().items():
            sessions[name] = embedops.attach(self._pipe, *stack)
            self.call(_PROMPTS[-1], 1)  # what is computed once a session is not a call's
            sessions[name].detach()
        for turn in track(range(turns), "turns", transient=True):
            prompt = _PROMPTS[turn % (len(_PROMPTS) - 1)]
            call = partial(self.call, prompt, steps)
            plain.append(self._watch.lap(call, steps))
            for name, session in sessions.items():
                session.attach()
                found[name].append(self._watch.lap(call, steps))
                session.detach()
        return plain, found

    def memory(self) -> tuple[Memory, dict[str, Memory], dict[str, int]]:
        """Peaks of a plain call and of one with each stack, and how often a later step waits for
        the device more than a plain one."""
        plain, expected = self._watched()
        found, waiting = {}, {}
        for name, stack in stacks().items():
            with watched(self._device) as before:
                session = embedops.attach(self._pipe, *stack)
                self.call(_PROMPTS[-1], 1)
                gc.collect()
            memory, counts = self._watched()
            memory.peak += before.held  # what it has kept from its first call
            found[name] = memory
            waiting[name] = max(c - e for c, e in zip(counts[1:], expected[1:], strict=True))
            session.detach()
        return plain, found, waiting

    def _watched(self) -> tuple[Memory, list[int]]:
        with watched(self._device) as memory, waits(self._pipe) as counts:
            self.call(_PROMPTS[0], _MEMORY_STEPS)
        each = len(counts) // _MEMORY_STEPS
        return memory, [sum(counts[i : i + each]) for i in range(0, len(counts), each)]


def measure(
    pipe: Any,
    device: torch.device | str,
    inputs: Mapping[str, Any],
    *,
    steps: int,
    turns: int,
    usual: int,
) -> dict[str, Any]:
    """One pipeline's rows.

    Args:
        pipe: the pipeline.
        device: where it runs.
        inputs: of a call, beside the prompt and the steps.
        steps: of the calls that are timed.
        turns: calls of each kind.
        usual: steps of the call that the share of its time is stated for.
    """
    bench = Bench(pipe, device, inputs)
    held = weights(*pipe.components.values())
    empty, memories, waiting = bench.memory()
    plain, laps = bench.times(steps, turns)
    encoding = statistics.median(lap.encoding for lap in plain)
    step = statistics.median(s for lap in plain for s in lap.steps)
    rows = []
    for name, found in laps.items():
        asked = [a.encoding - p.encoding for a, p in zip(found, plain, strict=True)]
        later = [h for lap in found for h in lap.hooks[1:]]
        first = [lap.hooks[0] for lap in found]
        ratios = [a.seconds / p.seconds for a, p in zip(found, plain, strict=True)]
        added = statistics.median(asked) + statistics.median(first)
        added += (usual - 1) * statistics.median(later)
        rows.append(
            {
                "with": name,
                "asked_s": records.spread(asked),
                "first_hooks_s": records.spread(first),
                "later_hooks_s": records.spread(later),
                "of_a_call": added / (encoding + usual * step),
                "call_ratio": records.spread(ratios),
                "peak_bytes": memories[name].peak,
                "peak_more": (memories[name].peak - empty.peak) / (held + empty.peak),
                "more_waits_a_step": waiting[name],
            }
        )
    return {
        "inputs": dict(inputs),
        "steps": steps,
        "turns": turns,
        "usual_steps": usual,
        "weights_bytes": held,
        "plain_peak_bytes": empty.peak,
        "encoding_s": encoding,
        "step_s": step,
        "step_low_s": min(s for lap in plain for s in lap.steps),
        "step_high_s": max(s for lap in plain for s in lap.steps),
        "rows": rows,
    }


def keep(name: str, entry: Mapping[str, Any]) -> Path:
    """Put one entry among those of other models and devices."""
    kept = (records.RESULTS / "real_size.json").is_file()
    entries = records.read("real_size")["entries"] if kept else {}
    return records.write("real_size", {"entries": {**entries, name: entry}})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--steps", type=int, help="of the calls that are timed")
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args()
    on_cpu = torch.device(given.device).type == "cpu"
    if on_cpu:
        torch.set_num_threads(1)
    console = Console()
    for key in given.only:
        shape: Shape = SHAPES[key]
        console.print(f"{shape.name} is drawn")
        pipe = shape.build(given.device, torch.bfloat16)
        steps = given.steps or (2 if on_cpu else shape.steps)
        inputs = shape.small if on_cpu else shape.inputs
        result = measure(
            pipe, given.device, inputs, steps=steps, turns=given.turns, usual=shape.steps
        )
        about = records.machine()
        if not on_cpu:
            about["device"] = torch.cuda.get_device_name(given.device)
        entry = {"shape": shape.name, "machine": about, **result}
        path = keep(f"{key} on {torch.device(given.device).type}", entry)
        table = Table("session", "of a call", "hooks / step", "more memory at the peak")
        for row in result["rows"]:
            table.add_row(
                row["with"],
                f"{row['of_a_call']:.4f}",
                f"{row['later_hooks_s']['median'] / result['step_s']:.2g}",
                f"{row['peak_more']:.4f}",
            )
        console.print(table)
        console.print(f"kept in {path}")
        del pipe
        gc.collect()


if __name__ == "__main__":
    main()
