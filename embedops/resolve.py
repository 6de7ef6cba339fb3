"""Running plugins over a batch of prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from embedops.edits import Edit
from embedops.encoders import Encoder
from embedops.errors import GuardError
from embedops.extension import AnyPlugin
from embedops.reports import Verdict
from embedops.schedule import EditFunction, Schedule
from embedops.streams import Conditioning


@torch.no_grad()
def resolve(
    plugins: Sequence[AnyPlugin],
    conditioning: Conditioning,
    encoder: Encoder,
    before: EditFunction | None = None,
) -> tuple[Schedule, tuple[Verdict, ...]]:
    """The schedule that `plugins` give a batch of prompts, and a verdict for each prompt.

    Args:
        plugins: in order.
        conditioning: what the pipeline encoded.
        encoder: what they may ask.
        before: an edit that comes before theirs and is no plugin's.

    Raises:
        GuardError: an embedding holds NaN or infinity, before or after an edit.
    """
    schedule = Schedule.plain(conditioning)
    if before is not None:
        schedule = replace(schedule.then(before, -1), traces=schedule.traces)
    if plugins:
        _check_finite(conditioning, "the text encoder's output")
    for index, one in enumerate(plugins):
        schedule = schedule.then(_EditWith(one, encoder), index)
    verdicts = tuple(
        Verdict(
            prompt=prompt,
            checked=True,
            flagged=any(trace.flagged for trace in traces),
            windows=tuple(window for window, version in cuts if version),
            traces=traces,
        )
        for prompt, cuts, traces in zip(
            conditioning.prompts, schedule.pieces, schedule.traces, strict=True
        )
    )
    return schedule, verdicts


@dataclass(frozen=True)
class _EditWith:
    """One plugin asked about one reading, with its answer checked."""

    plugin: AnyPlugin
    encoder: Encoder

    def __call__(self, conditioning: Conditioning) -> Edit:
        edit = self.plugin.edit(conditioning, self.encoder)
        touched = [row for row, window in enumerate(edit.windows) if window is not None]
        if touched:
            _check_finite(edit.conditioning.select(touched), f"the edit of {self.plugin.name!r}")
        if edit.outside is not None:
            _check_finite(edit.outside, f"the edit of {self.plugin.name!r}")
        return edit


def _check_finite(conditioning: Conditioning, what: str) -> None:
    broken = [row for row, finite in enumerate(conditioning.finite_rows()) if not finite]
    if broken:
        raise GuardError(
            f"{what} holds NaN or infinity for prompts {broken}, which cannot be examined. Half "
            f"precision overflows in some text encoders; load them in bfloat16 or float32."
        )
