"""Which embedding each prompt reads at each denoising step, for all plugins together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from embedops.edits import Edit, Trace, Window
from embedops.streams import Conditioning

EditFunction = Callable[[Conditioning], Edit]


@dataclass(frozen=True, eq=False)
class Reading:
    """One version of some prompts' embeddings.

    Attributes:
        rows: the prompts of the batch that it covers, ascending.
        conditioning: what they read, one row each in that order.
        plugins: indices of the plugins whose edits it carries, in order.
    """

    rows: tuple[int, ...]
    conditioning: Conditioning
    plugins: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Schedule:
    """The edits of several plugins, resolved.

    Each prompt's schedule is cut into windows; in each the prompt reads one `Reading`. Reading 0
    is the pipeline's own. Where the windows of two plugins overlap the later one edits what the
    earlier one made; where only one is active it edits the original.

    Attributes:
        readings: every version that some prompt reads at some step.
        pieces: per prompt its windows in order, each with the index of its reading; together they
            cover the whole schedule.
        traces: per prompt one trace a plugin, in the order of the plugins.
    """

    readings: tuple[Reading, ...]
    pieces: tuple[tuple[tuple[Window, int], ...], ...]
    traces: tuple[tuple[Trace, ...], ...]

    @classmethod
    def plain(cls, conditioning: Conditioning) -> Schedule:
        """Every prompt reads the pipeline's own embeddings throughout."""
        rows = tuple(range(len(conditioning)))
        return cls(
            readings=(Reading(rows, conditioning, ()),),
            pieces=tuple(((Window(), 0),) for _ in rows),
            traces=tuple(() for _ in rows),
        )

    def then(self, edit: EditFunction, plugin: int) -> Schedule:
        """This schedule followed by one more plugin.

        Args:
            edit: called once for each reading in use, with the rows that use it.
            plugin: the plugin's index, to tell later whose edit a reading carries.
        """
        readings = list(self.readings)
        pieces: list[list[tuple[Window, int]]] = [[] for _ in self.pieces]
        traces: list[Trace | None] = [None] * len(self.pieces)
        for index, reading in enumerate(self.readings):
            users = [r for r, cuts in enumerate(self.pieces) if any(v == index for _, v in cuts)]
            if not users:
                continue
            local = [reading.rows.index(r) for r in users]
            answer = edit(reading.conditioning.select(local))
            edited = len(readings)
            kept = [k for k, window in enumerate(answer.windows) if window is not None]
            if kept:
                readings.append(
                    Reading(
                        rows=tuple(users[k] for k in kept),
                        conditioning=answer.conditioning.select(kept),
                        plugins=(*reading.plugins, plugin),
                    )
                )
            rest = index
            if answer.outside is not None:
                rest = len(readings)
                readings.append(Reading(tuple(users), answer.outside, reading.plugins))
            for k, row in enumerate(users):
                window = answer.windows[k]
                traces[row] = traces[row] or answer.traces[k]
                for piece, version in self.pieces[row]:
                    if version != index:
                        continue
                    inside = None if window is None else piece.within(window)
                    if window is None or inside is None:
                        pieces[row].append((piece, rest))
                        continue
                    pieces[row].append((inside, edited))
                    pieces[row].extend((part, rest) for part in piece.without(window))
        return Schedule(
            readings=tuple(readings),
            pieces=tuple(tuple(sorted(cuts)) for cuts in pieces),
            traces=tuple(
                (*before, trace) if trace is not None else before
                for before, trace in zip(self.traces, traces, strict=True)
            ),
        )

    def table(self, total: int) -> tuple[tuple[int, ...], ...]:
        """Per step of a schedule of `total` steps, the reading of each prompt."""
        columns = [_column(cuts, total) for cuts in self.pieces]
        return tuple(tuple(column[step] for column in columns) for step in range(total))

    def edited(self) -> tuple[bool, ...]:
        """Per prompt, whether any step reads something else than the pipeline's own."""
        return tuple(any(version != 0 for _, version in cuts) for cuts in self.pieces)


def _column(cuts: Sequence[tuple[Window, int]], total: int) -> list[int]:
    column = [0] * total
    for window, version in cuts:
        for step in window.steps(total):
            column[step] = version
    return column
