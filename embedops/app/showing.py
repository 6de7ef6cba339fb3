"""From what was drawn to rows of pictures on the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from embedops.app.marks import Frames, Shelf, Tile, shelves
from embedops.app.snippets import Call
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


def gallery(call: Call, batches: Sequence[Batch]) -> str:
    """A heading a prompt, below it a row a batch, and a picture a seed.

    Args:
        call: what was drawn.
        batches: the ways to draw it.
    """
    parts = []
    for number, prompt in enumerate(call.prompts):
        own = range(number * call.each, (number + 1) * call.each)
        rows = [
            Shelf(way.title, [_tile(way, prompt, k, call.seeds[k]) for k in own], way.note)
            for way in batches
        ]
        parts.append(shelves(rows, prompt if len(call.prompts) > 1 else ""))
    return "".join(parts)


def across(call: Call, columns: Sequence[Batch]) -> str:
    """A row a seed, with a picture of each batch side by side."""
    prompt = call.prompts[0]
    return shelves(
        [
            Shelf(f"seed {seed}", [_tile(way, prompt, k, seed, way.title) for way in columns])
            for k, seed in enumerate(call.seeds)
        ]
    )


def _tile(
    batch: Batch, prompt: str, number: int, seed: int, title: str | None = None
) -> Tile | None:
    if batch.drawn is None:
        return None
    below = [title or f"seed {seed}"]
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


def counts(batches: Sequence[Batch]) -> str:
    """What the evaluator sees, counted over the pictures of each batch that is ready."""
    ready = [way for way in batches if way.seen is not None]
    names = sorted({name for way in ready for seen in way.seen or () for name in seen})
    if not names:
        return ""
    head = "".join(f'<th scope="col">{escape(way.title)}</th>' for way in ready)
    lines = []
    for name in names:
        cells = "".join(
            f"<td>{sum(name in seen for seen in way.seen or ())} of {len(way.seen or ())}</td>"
            for way in ready
        )
        lines.append(f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>')
    return (
        '<table class="eo-table"><caption>pictures in which the evaluator sees it</caption>'
        f'<thead><tr><th scope="col">thing</th>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table>"
    )
