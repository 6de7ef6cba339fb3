from __future__ import annotations

import itertools

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from embedops import Conditioning, Edit, Schedule, TextStream, Trace, Window

ROWS = 3


def plain() -> Conditioning:
    stream = TextStream(
        "text_encoder",
        torch.arange(ROWS, dtype=torch.float32).view(ROWS, 1, 1),
        torch.ones(ROWS, 1, dtype=torch.int8),
        (("w",),) * ROWS,
    )
    return Conditioning(tuple(f"p{r}" for r in range(ROWS)), (stream,))


def adding(amount: float, windows: tuple[Window | None, ...]):  # a test's closure
    def edit(conditioning: Conditioning) -> Edit:
        stream = conditioning.streams[0]
        mine = tuple(windows[int(p[1:])] for p in conditioning.prompts)
        return Edit(
            conditioning.replace(stream.replace(embeds=stream.embeds + amount)),
            mine,
            tuple(Trace("add", w is not None, w) for w in mine),
        )

    return edit


def values(schedule: Schedule, total: int) -> list[list[float]]:
    """What each prompt reads at each step."""
    steps = []
    for pattern in schedule.table(total):
        row_values = []
        for row, version in enumerate(pattern):
            reading = schedule.readings[version]
            embeds = reading.conditioning.streams[0].embeds
            row_values.append(float(embeds[reading.rows.index(row)]))
        steps.append(row_values)
    return steps


fractions = st.integers(0, 20).map(lambda k: k / 20)
maybe_windows = st.one_of(
    st.none(),
    st.tuples(fractions, fractions)
    .filter(lambda f: f[0] != f[1])
    .map(lambda f: Window(min(f), max(f))),
)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(*[maybe_windows] * ROWS), min_size=0, max_size=4),
    st.integers(1, 30),
)
def test_each_step_reads_the_edits_active_then_in_order(
    stack: list[tuple[Window | None, ...]], total: int
) -> None:
    schedule = Schedule.plain(plain())
    for index, windows in enumerate(stack):
        schedule = schedule.then(adding(10.0**index, windows), index)
    for step, row_values in enumerate(values(schedule, total)):
        for row, value in enumerate(row_values):
            active = [
                10.0**i for i, ws in enumerate(stack) if (w := ws[row]) and step in w.steps(total)
            ]
            assert value == row + sum(active)
    assert all(len(traces) == len(stack) for traces in schedule.traces)


def test_a_prompt_that_nobody_edits_reads_the_original_object() -> None:
    base = plain()
    schedule = Schedule.plain(base).then(adding(1.0, (None,) * ROWS), 0)
    assert len(schedule.readings) == 1
    assert schedule.readings[0].conditioning is base
    assert schedule.edited() == (False,) * ROWS


def test_pieces_cover_the_whole_schedule_without_overlap() -> None:
    schedule = Schedule.plain(plain())
    schedule = schedule.then(adding(1.0, (Window(0.2, 0.6), None, Window())), 0)
    schedule = schedule.then(adding(2.0, (Window(0.4, 0.9), Window(0.0, 0.5), None)), 1)
    for cuts in schedule.pieces:
        assert cuts[0][0].start == 0.0
        assert cuts[-1][0].stop == 1.0
        assert all(a.stop == b.start for (a, _), (b, _) in itertools.pairwise(cuts))
