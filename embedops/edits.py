"""What a plugin hands back: new embeddings, when they hold, and why."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from embedops.errors import ConfigError
from embedops.streams import Conditioning


@dataclass(frozen=True, order=True)
class Window:
    """A stretch of the denoising schedule in fractions of its steps: `start` in, `stop` out.

    Fractions make one setting mean the same for samplers of any step count. The whole schedule is
    `Window()`.

    Raises:
        ConfigError: not 0 ≤ start < stop ≤ 1.
    """

    start: float = 0.0
    stop: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.start < self.stop <= 1.0:
            raise ConfigError(
                f"a window needs 0 <= start < stop <= 1 (fractions of the schedule), got "
                f"start={self.start}, stop={self.stop}. Use None for a window that is empty."
            )

    def steps(self, total: int) -> range:
        """The 0-based steps of a schedule of `total` steps that lie inside."""
        return range(_first_step(self.start, total), _first_step(self.stop, total))

    def within(self, other: Window) -> Window | None:
        """The part of this window inside `other`; None where they do not meet."""
        start, stop = max(self.start, other.start), min(self.stop, other.stop)
        return Window(start, stop) if start < stop else None

    def without(self, other: Window) -> tuple[Window, ...]:
        """The parts of this window outside `other`, in order."""
        parts = (
            (self.start, min(self.stop, other.start)),
            (max(self.start, other.stop), self.stop),
        )
        return tuple(Window(start, stop) for start, stop in parts if start < stop)


def _first_step(fraction: float, total: int) -> int:
    # A fraction that was made as k / total must give k back, so rounding noise is taken off first.
    return math.ceil(fraction * total - 1e-9)


@dataclass(frozen=True)
class TokenTrace:
    """One token or word, as a plugin judged it.

    Attributes:
        text: the token or word as a person would read it.
        stream: the text encoder that was asked; empty where the plugin asks none in particular.
        position: its position in the stream, None where the model does not read it at all
            (a prompt longer than the encoder's length is examined whole all the same).
        score: what was measured, in the units that the plugin's docstring names.
        threshold: what the score was held against.
        triggered: whether this token made the plugin act.
    """

    text: str
    stream: str
    position: int | None
    score: float
    threshold: float
    triggered: bool


@dataclass(frozen=True)
class Trace:
    """What one plugin did to one prompt, for people and for audit.

    Attributes:
        plugin: the plugin's name.
        flagged: whether the prompt was found to hold what the plugin looks for.
        window: when the edit holds; None where the prompt was left as it is.
        tokens: per token or word, in reading order.
        values: figures of the method by name, such as SAFREE's `t_prime`.
        notes: sentences for the reader: what was left out and why.
        text: the prompt as the plugin rewrote it, where it rewrites words.
    """

    plugin: str
    flagged: bool
    window: Window | None
    tokens: tuple[TokenTrace, ...] = ()
    values: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    text: str | None = None


@dataclass(frozen=True, eq=False)
class Edit:
    """A plugin's answer for one batch of prompts.

    Attributes:
        conditioning: what to read instead, its `negative` included; rows whose window is None
            are not read.
        windows: per prompt when the new row holds, None where the prompt is left as it is.
        traces: per prompt what was done and why.
        outside: what every prompt reads outside its window, the whole schedule where that is
            None: for an edit of the negative side that holds throughout. Where left out, that is
            what the plugin was given.
    """

    conditioning: Conditioning
    windows: tuple[Window | None, ...]
    traces: tuple[Trace, ...]
    outside: Conditioning | None = None

    def __post_init__(self) -> None:
        rows = len(self.conditioning)
        if len(self.windows) != rows or len(self.traces) != rows:
            raise ConfigError(
                f"an edit of {rows} prompts needs as many windows and traces, got "
                f"{len(self.windows)} and {len(self.traces)}."
            )
        if self.outside is not None and len(self.outside) != rows:
            raise ConfigError(
                f"what {rows} prompts read outside their windows needs as many rows, got "
                f"{len(self.outside)}."
            )
