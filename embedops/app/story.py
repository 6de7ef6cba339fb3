"""A learning run, as it is told while it goes on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from embedops.app import marks, plots, showing
from embedops.app.marks import Shelf, Tile
from embedops.app.snippets import Call
from embedops.learning.loop import StepReport


@dataclass(eq=False)
class Story:
    """A run as it is told so far."""

    steps: list[int] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    norm: list[float] = field(default_factory=list)
    moved: list[float] = field(default_factory=list)
    checks: dict[int, float] = field(default_factory=dict)
    drawn: list[tuple[str, showing.Batch]] = field(default_factory=list)
    told: float = 0.0

    def add(self, report: StepReport) -> None:
        """One step more."""
        self.steps.append(report.step)
        self.loss.append(report.loss)
        self.norm.append(report.norm)
        self.moved.append(report.moved)
        if report.check is not None:
            self.checks[report.step] = report.check

    def plots(self) -> tuple[Any, Any]:
        """Loss, and lengths."""
        return (
            plots.curves(self.steps, self.loss, self.checks),
            plots.lengths(self.steps, self.norm, self.moved),
        )

    def pictures(self, call: Call) -> str:
        """A row a prompt, a picture a check."""
        rows = []
        for number, prompt in enumerate(call.prompts):
            tiles: list[Tile | None] = []
            for title, batch in self.drawn:
                below = [title]
                if batch.seen is not None and batch.seen[number]:
                    below.append(f"sees {', '.join(batch.seen[number])}")
                tiles.append(Tile(batch.frames()[number], f"{prompt}, {'; '.join(below)}", below))
            rows.append(Shelf(prompt, tiles))
        return marks.shelves(rows)
