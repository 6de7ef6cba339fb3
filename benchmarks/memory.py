"""What memory a session takes during a call, for the embedded model and for every family.

Run with `python benchmarks/memory.py`. On the embedded model the peak of a call with a session is
compared with a plain call's, weights included. On the tiny pipelines of the conformance suite,
whose peaks say nothing of real models, it is what a session holds while the denoiser runs, in
multiples of what the text encoders gave: a real model's text is a few megabytes at most. CPU.
"""

from __future__ import annotations

import gc
from typing import Any

import records
import torch
from overhead import PROMPTS, STEPS, cases, stacks
from rich.console import Console
from rich.progress import track
from rich.table import Table
from tensor_memory import watched, weights

import embedops
from embedops.families import adapter_for
from embedops.streams import Conditioning
from embedops.testing import Case, read_as
from embedops.testing.read_as import Question
from embedops.testing.watching import denoisers


def embedded() -> list[dict[str, Any]]:
    """Peaks of calls of the embedded model."""
    pipe = embedops.load("emoji", device="cpu")
    pipe.set_progress_bar_config(disable=True)

    def call() -> None:
        generators = [torch.Generator().manual_seed(n) for n in range(len(PROMPTS))]
        pipe(PROMPTS, generator=generators, num_inference_steps=STEPS, guidance_scale=4.0)

    held = weights(*pipe.components.values())
    call()
    with watched() as plain:
        call()
    whole = held + plain.peak
    rows = []
    for name, stack in track(stacks().items(), "whole calls"):
        gc.collect()
        with watched() as first:
            session = embedops.attach(pipe, *stack)
            call()
            gc.collect()
        with watched() as later:
            call()
        session.detach()
        rows.append(
            {
                "with": name,
                "more_bytes": first.held + later.peak - plain.peak,
                "ratio": (held + first.held + later.peak) / whole,
                "first_ratio": (held + first.peak) / whole,
            }
        )
    return rows


def family(case: Case) -> dict[str, Any]:
    """What a session holds when the denoiser is called for the last time."""
    pipe = case.build()
    prompts = ["a photo of a pistol", "a dog on the table"]
    case.run(pipe, prompts)
    plain = _alive(pipe, case, prompts)
    text: list[int] = []
    size = Question(lambda conditioning, _: text.append(_text(conditioning)))
    with embedops.attach(pipe, size, read_as(where="")):
        case.run(pipe, prompts)
        more = _alive(pipe, case, prompts) - plain
    return {
        "pipeline": case.name,
        "family": adapter_for(pipe).family,
        "text_bytes": text[-1],
        "more_bytes": more,
        "ratio": more / text[-1],
    }


def _alive(pipe: Any, case: Case, prompts: list[str]) -> int:
    gc.collect()
    with watched() as memory:
        handles = [d.register_forward_pre_hook(lambda *_: memory.mark()) for d in denoisers(pipe)]
        case.run(pipe, prompts)
    for handle in handles:
        handle.remove()
    return memory.marks[-1]


def _text(conditioning: Conditioning) -> int:
    """Bytes of what the denoiser reads, both sides of the guidance."""
    sides = [conditioning, conditioning.negative]
    streams = [stream for side in sides if side is not None for stream in side.streams]
    pooled = [s.pooled.nbytes for s in streams if s.pooled is not None and s.pooled_read]
    return sum(stream.embeds.nbytes for stream in streams) + sum(pooled)


def main() -> None:
    torch.set_num_threads(1)
    model = embedded()
    families = [family(case) for case in track(cases(), "families")]
    path = records.write(
        "memory",
        {"steps": STEPS, "prompts": len(PROMPTS), "embedded": model, "families": families},
    )
    table = Table("pipeline", "text, bytes", "held beside it, bytes", "ratio")
    for row in families:
        cells = (f"{row['text_bytes']}", f"{row['more_bytes']}", f"{row['ratio']:.1f}")
        table.add_row(row["pipeline"], *cells)
    console = Console()
    console.print(table)
    for row in model:
        console.print(
            f"{row['with']}: {row['ratio']:.4f}, in the first call {row['first_ratio']:.4f}"
        )
    console.print(f"kept in {path}")


if __name__ == "__main__":
    main()
