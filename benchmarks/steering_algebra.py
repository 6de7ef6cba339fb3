"""SAFREE's linear algebra for one prompt: thin bases against the formulas taken literally.

Run with `python benchmarks/steering_algebra.py`. Both sides get the same sentence vectors and do
the same: judge every token, project, merge, and measure `z`. The plugin's side has the concepts'
basis at hand, as it has from the second call on; the published code makes it anew for each prompt.
"One projector at a time" is the literal side at its kindest: never a product of two `dim × dim`
matrices. One thread, the sides by turns, processor time. The text encoder is not part of it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import records
import torch
from published_safree import Steered, steer_prompt
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from embedops import Subspace
from embedops_safree.steering import merge, removed_share, steer
from embedops_safree.triggers import trigger_mask

_WIDTHS = {768: 40, 1280: 40, 4096: 6}
"""Embedding widths, and how often the sides take turns there."""
_TOKENS = (8, 20, 60)
_CONCEPTS = 17
_LENGTH = 77
_THIN_A_TURN = 10
_WARM_UP = 3
_ALPHA = 0.01


def inputs(width: int, count: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Token embeddings, masked sentence vectors and concept vectors shaped like CLIP's."""
    generator = torch.Generator().manual_seed(seed)
    scale = torch.linspace(3, 0.3, width)
    shared = torch.randn(width, generator=generator) * scale
    prompt = shared + torch.randn(width, generator=generator) * scale

    def around(centre: Tensor, rows: int, spread: float) -> Tensor:
        return centre + spread * torch.randn(rows, width, generator=generator) * scale

    return around(shared, _LENGTH, 1.0), around(prompt, count, 0.15), around(shared, _CONCEPTS, 0.7)


def thin(tokens: Tensor, masked: Tensor, concepts: Subspace) -> Steered:
    """What the plugin computes for one prompt."""
    mask = trigger_mask(masked, concepts, _ALPHA)
    attended = tokens[: masked.shape[0] + 2]
    projected = steer(attended, Subspace.span(masked), concepts, "released")
    z = removed_share(attended, projected)
    at = 1 + mask.nonzero()[:, 0]
    return Steered(mask, merge(tokens, projected[at], at), projected, z)


def measure(width: int, count: int, turns: int) -> dict[str, Any]:
    """Time both sides at one size, and compare what they compute."""
    tokens, masked, concept_vectors = inputs(width, count)
    concepts = Subspace.span(concept_vectors)
    sides = {
        "thin": lambda: thin(tokens, masked, concepts),
        "uncached": lambda: thin(tokens, masked, Subspace.span(concept_vectors)),
        "literal": lambda: steer_prompt(tokens, masked, concept_vectors),
        "in turn": lambda: steer_prompt(tokens, masked, concept_vectors, combined=False),
    }
    results = {side: work() for side, work in sides.items()}
    times: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(turns):
        for side, work in sides.items():
            small = side in ("thin", "uncached")
            # The literal side leaves the caches full of its matrices: warm up before timing.
            _timed(work, _WARM_UP if small else 0)
            times[side] += _timed(work, _THIN_A_TURN if small else 1)
    fast_result, slow_result = results["thin"], results["literal"]
    fast, slow, kind, uncached = (times[s] for s in ("thin", "literal", "in turn", "uncached"))
    if not torch.equal(fast_result.mask, slow_result.mask):
        raise RuntimeError(f"the two sides disagree on the triggers at width {width}, n = {count}.")
    difference = fast_result.projected - slow_result.projected
    return {
        "width": width,
        "tokens": count,
        "concepts": _CONCEPTS,
        "triggered": int(fast_result.mask.sum()),
        "literal_ms": _spread(slow),
        "thin_ms": _spread(fast),
        "thin_without_cached_concepts_ms": _spread(uncached),
        "ratio": statistics.median(slow) / statistics.median(fast),
        "literal_one_projector_at_a_time_ms": _spread(kind),
        "ratio_one_projector_at_a_time": statistics.median(kind) / statistics.median(fast),
        "relative_difference": float(difference.norm() / slow_result.projected.norm()),
        "z_difference": abs(fast_result.z - slow_result.z),
    }


def _timed(work: Callable[[], Steered], repeats: int) -> list[float]:
    times = []
    for _ in range(repeats):
        start = time.thread_time()
        work()
        times.append(1000 * (time.thread_time() - start))
    return times


def _spread(times: list[float]) -> dict[str, float]:
    return {
        "median": statistics.median(times),
        "min": min(times),
        "max": max(times),
        "repeats": len(times),
    }


def main() -> None:
    torch.set_num_threads(1)
    sizes = [(w, n, turns) for w, turns in _WIDTHS.items() for n in _TOKENS]
    rows = [measure(*size) for size in track(sizes, description="sizes", transient=True)]
    table = Table(
        "width",
        "n",
        "literal, ms",
        "thin, ms",
        "min … max",
        "ratio",
        "one at a time",
        "difference",
        title=f"SAFREE's linear algebra for one prompt, {_CONCEPTS} concepts, one thread",
    )
    for row in rows:
        quick = row["thin_ms"]
        table.add_row(
            str(row["width"]),
            str(row["tokens"]),
            f"{row['literal_ms']['median']:.1f}",
            f"{quick['median']:.2f}",
            f"{quick['min']:.2f} … {quick['max']:.2f}",
            f"{row['ratio']:.0f}×",
            f"{row['ratio_one_projector_at_a_time']:.0f}×",
            f"{row['relative_difference']:.0e}",
        )
    Console().print(table)
    records.write("steering_algebra", {"sizes": rows})


if __name__ == "__main__":
    main()
