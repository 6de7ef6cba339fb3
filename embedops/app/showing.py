"""From what was drawn to rows of pictures on the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from embedops.app.marks import Frames, Shelf, Tile, shelves
from embedops.app.studio import Studio
from embedops.drawing import Drawn


@dataclass(frozen=True, eq=False)
class Batch:
    """Pictures of one way to draw some prompts, as they come.

    Attributes:
        title: of the way.
        drawn: None while they are drawn.
        seen: what the evaluator sees in each; None where there is none.
        note: a remark.
    """

    title: str
    drawn: Drawn | None = None
    seen: Sequence[tuple[str, ...]] | None = None
    note: str = ""

    def frames(self) -> list[Frames]:
        """Each picture's frames."""
        if self.drawn is None:
            return []
        return [list(clip) for clip in self.drawn.clips] or [[im] for im in self.drawn.images]


def batch(studio: Studio, title: str, drawn: Drawn, note: str = "") -> Batch:
    """A finished batch, read by the evaluator."""
    return Batch(title, drawn, studio.seen(drawn), note)


def gallery(prompts: Sequence[str], seeds: Sequence[int], batches: Sequence[Batch]) -> str:
    """A heading a prompt, below it a row a batch, and a picture a seed.

    Args:
        prompts: what was drawn.
        seeds: of all pictures, prompt by prompt.
        batches: the ways, each with a picture a seed.
    """
    each = len(seeds) // len(prompts)
    parts = []
    for number, prompt in enumerate(prompts):
        own = range(number * each, (number + 1) * each)
        rows = [
            Shelf(b.title, [_tile(b, prompt, k, seeds[k]) for k in own], b.note) for b in batches
        ]
        parts.append(shelves(rows, prompt if len(prompts) > 1 else ""))
    return "".join(parts)


def _tile(batch: Batch, prompt: str, number: int, seed: int) -> Tile | None:
    if batch.drawn is None:
        return None
    below = [f"seed {seed}"]
    alt = f"{batch.title}: {prompt}, seed {seed}"
    if batch.seen is not None:
        seen = ", ".join(batch.seen[number]) or "nothing that it knows"
        below.append(f"sees {seen}")
        alt += f"; the evaluator sees {seen}"
    return Tile(batch.frames()[number], alt, below)


def same(first: Drawn, second: Drawn) -> bool:
    """Whether two ways drew the same pictures, bit for bit."""
    pairs = zip(
        [frame for clip in first.clips or [first.images] for frame in clip],
        [frame for clip in second.clips or [second.images] for frame in clip],
        strict=True,
    )
    return all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in pairs)
