"""Small pieces of HTML. Everything that visitors wrote is escaped."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from PIL.Image import Image, Resampling

from embedops.app.jobs import Progress
from embedops.edits import TokenTrace, Trace
from embedops.reports import Verdict

_SMALL = 256
"""Pixels up to which pictures are sent without loss and enlarged pixel by pixel."""

_FEW = 3
"""Pictures in a row that can be shown larger."""

Frames = Sequence[Image]
"""A picture, or the frames of a moving one."""


@dataclass(frozen=True, eq=False)
class Tile:
    """A picture with what is to be said below it.

    Attributes:
        frames: the picture; several frames move.
        alt: what a screen reader says.
        below: lines of text.
    """

    frames: Frames
    alt: str
    below: Sequence[str] = ()


@dataclass(frozen=True, eq=False)
class Shelf:
    """A row of pictures with a label; None stands for one that is still to come."""

    title: str
    tiles: Sequence[Tile | None]
    note: str = ""


def busy(progress: Progress) -> str:
    """A progress bar."""
    share = round(100 * progress.done / max(1, progress.total))
    return (
        f'<div class="eo-status" role="status"><div class="eo-bar" role="progressbar" '
        f'aria-label="{escape(progress.what)}" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{share}"><span style="width:{share}%"></span></div>'
        f"<span>{escape(progress.what)} · {progress.done} of {progress.total}</span></div>"
    )


def said(text: str, kind: str = "note") -> str:
    """A sentence for the visitor: `note`, `good` or `bad`."""
    sign = {"note": "", "good": "✓ ", "bad": "! "}[kind]
    role = "alert" if kind == "bad" else "status"
    return (
        f'<div class="eo-status eo-{kind}" role="{role}">'
        f'<span aria-hidden="true">{sign}</span>{escape(text)}</div>'
    )


def empty(text: str) -> str:
    """What stands where results will be."""
    return f'<div class="eo-empty">{escape(text)}</div>'


def shelves(rows: Sequence[Shelf], heading: str = "") -> str:
    """Rows of pictures, one below the other."""
    parts = [f'<h3 class="eo-heading">{escape(heading)}</h3>'] if heading else []
    for row in rows:
        tiles = "".join(_figure(tile) for tile in row.tiles)
        note = f"<span>{escape(row.note)}</span>" if row.note else ""
        few = " eo-few" if len(row.tiles) <= _FEW else ""
        parts.append(
            f'<section class="eo-shelf"><header><b>{escape(row.title)}</b>{note}</header>'
            f'<div class="eo-tiles{few}">{tiles}</div></section>'
        )
    return "".join(parts)


def _figure(tile: Tile | None) -> str:
    if tile is None:
        return '<figure class="eo-tile eo-wait" aria-hidden="true"><div></div></figure>'
    first = tile.frames[0]
    crisp = " eo-crisp" if max(first.size) <= _SMALL else ""
    lines = "".join(f"<span>{escape(line)}</span>" for line in tile.below)
    return (
        f'<figure class="eo-tile"><img class="eo-picture{crisp}" alt="{escape(tile.alt)}" '
        f'src="{data_uri(tile.frames)}" width="{first.width}" height="{first.height}">'
        f"<figcaption>{lines}</figcaption></figure>"
    )


def data_uri(frames: Frames) -> str:
    """The picture itself as an address, so that no file of it lies on the server."""
    small = max(frames[0].size) <= _SMALL
    kind = "PNG" if small and len(frames) == 1 else "WEBP"
    stream = io.BytesIO()
    pictures = [frame.convert("RGB") for frame in frames]
    if kind == "PNG":
        pictures[0].save(stream, "PNG")
    elif len(pictures) == 1:
        pictures[0].save(stream, "WEBP", quality=92)
    else:
        large = [_enlarged(picture) for picture in pictures] if small else pictures
        large[0].save(
            stream, "WEBP", save_all=True, append_images=large[1:], duration=150, loop=0, quality=90
        )
    return f"data:image/{kind.lower()};base64,{base64.b64encode(stream.getvalue()).decode()}"


def _enlarged(picture: Image) -> Image:
    # Lossy compression blurs single pixels, so that small frames are enlarged before it.
    times = max(1, _SMALL // max(picture.size))
    return picture.resize((picture.width * times, picture.height * times), Resampling.NEAREST)


def tokens(verdict: Verdict, total: int) -> str:
    """A prompt as each plugin reads it: every token's score as colour and number, a mark on those
    that triggered, and the steps in which it reads something else."""
    parts = [f'<h3 class="eo-heading">{escape(verdict.prompt)}</h3>']
    parts += [_trace(trace) for trace in verdict.traces]
    steps = sorted({step for window in verdict.windows for step in window.steps(total)})
    parts.append(timeline(steps, total))
    return f'<section class="eo-card">{"".join(parts)}</section>'


def timeline(steps: Sequence[int], total: int) -> str:
    """Which steps of the schedule were filtered."""
    spoken = f"{len(steps)} of {total} steps filtered" if steps else f"no step of {total} filtered"
    cells = "".join(f"<i{' class=on' if k in set(steps) else ''}></i>" for k in range(total))
    return (
        f'<div class="eo-time"><span>{escape(spoken)}</span>'
        f'<div role="img" aria-label="{escape(spoken)}, of the first to the last">{cells}</div>'
        f"<small><span>noise</span><span>picture</span></small></div>"
    )


def _trace(trace: Trace) -> str:
    streams = list(dict.fromkeys(token.stream for token in trace.tokens))
    blocks = []
    for stream in streams:
        own = [token for token in trace.tokens if token.stream == stream]
        name = f'<span class="eo-stream">{escape(stream)}</span>' if len(streams) > 1 else ""
        blocks.append(f'{name}<div class="eo-tokens">{_chips(own)}</div>')
    verdict = "triggers" if trace.flagged else "does not trigger"
    if trace.tokens and not any(t.threshold for t in trace.tokens):
        verdict = "share of each token that lies in the concept"
    notes = [f"reads instead: {trace.text}"] if trace.text and trace.flagged else []
    notes += trace.notes
    said_below = "".join(f'<p class="eo-note">{escape(note)}</p>' for note in notes)
    return (
        f'<div class="eo-trace"><header><b>{escape(trace.plugin)}</b> '
        f"<span>{verdict}</span></header>{''.join(blocks)}{said_below}</div>"
    )


def _chips(found: Sequence[TokenTrace]) -> str:
    chips = []
    for token, near in zip(found, nearness(found), strict=True):
        classes = "eo-token"
        about = f"{token.score:.2f}"
        spoken = f"{token.text}: {about}"
        if any(t.threshold for t in found):
            spoken += f", threshold {token.threshold:.2f}"
        if token.triggered:
            classes += " eo-hit"
            spoken += ", triggers"
        if token.position is None:
            classes += " eo-unread"
        chips.append(
            f'<span class="{classes}" style="--near:{100 * near:.0f}%" title="{escape(spoken)}">'
            f'<span aria-hidden="true">{escape(token.text)}</span>'
            f'<small aria-hidden="true">{"▲ " if token.triggered else ""}{about}</small>'
            f'<span class="eo-spoken">{escape(spoken)}.</span></span>'
        )
    return "".join(chips)


def nearness(found: Sequence[TokenTrace]) -> list[float]:
    """How near each token is to triggering, or beyond, in 0..1; 0.5 is the threshold.

    Plugins differ in which side of the threshold triggers. Without a threshold the score itself
    is shown, from 0 to the largest.
    """
    if not any(token.threshold for token in found):
        top = max((abs(token.score) for token in found), default=0.0) or 1.0
        return [abs(token.score) / top for token in found]
    gaps = [token.score - token.threshold for token in found]
    above = all(t.triggered == (gap > 0) for t, gap in zip(found, gaps, strict=True))
    signed = gaps if above else [-gap for gap in gaps]
    reach = max(map(abs, signed)) or 1.0
    return [min(1.0, max(0.0, 0.5 + gap / reach / 2)) for gap in signed]


LEGEND = (
    '<div class="eo-legend" role="note"><span>far from the concept</span>'
    '<i aria-hidden="true"></i><span>near it</span>'
    '<span class="eo-token eo-hit eo-key"><span>▲</span></span><span>triggers</span></div>'
)
"""What the colours mean."""
