"""What was decided and done, per prompt."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from embedops.edits import Trace, Window


@dataclass(frozen=True)
class Verdict:
    """What the plugins make of one prompt.

    Attributes:
        prompt: the prompt as the user gave it; empty where only embeddings were given.
        checked: whether it was looked at. A prompt that was not is never called safe.
        flagged: whether any plugin found what it looks for; None where it was not checked.
        windows: the parts of the schedule in which edited embeddings are read.
        traces: one per plugin, in order.
    """

    prompt: str
    checked: bool
    flagged: bool | None
    windows: tuple[Window, ...]
    traces: tuple[Trace, ...]

    def to_json(self) -> dict[str, Any]:
        """The verdict as JSON types."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Report:
    """What a session did in its last call.

    Attributes:
        verdicts: one per prompt.
        steps: per prompt the 0-based steps at which it read edited embeddings.
        total: steps of the schedule; 0 before the denoiser ran.
    """

    verdicts: tuple[Verdict, ...]
    steps: tuple[tuple[int, ...], ...]
    total: int

    def to_json(self) -> dict[str, Any]:
        """The report as JSON types."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        lines = []
        for verdict, steps in zip(self.verdicts, self.steps, strict=True):
            if not verdict.checked:
                lines.append("(embeddings without a prompt): not checked")
                continue
            lines.append(f"{verdict.prompt!r}: edited in {len(steps)} of {self.total} steps")
            for trace in verdict.traces:
                words = [t.text for t in trace.tokens if t.triggered]
                found = ", ".join(words) if words else "nothing"
                lines.append(f"  {trace.plugin}: {found}")
                lines.extend(f"    {note}" for note in trace.notes)
        return "\n".join(lines)
