from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedops import ConfigError, Window

fractions = st.integers(0, 100).map(lambda k: k / 100)
windows = (
    st.tuples(fractions, fractions)
    .filter(lambda f: f[0] != f[1])
    .map(lambda f: Window(min(f), max(f)))
)


@given(st.integers(1, 200), st.data())
def test_a_fraction_made_from_a_step_gives_the_step_back(total: int, data: st.DataObject) -> None:
    step = data.draw(st.integers(1, total))
    assert Window(0.0, step / total).steps(total) == range(step)


@given(windows, st.integers(1, 200))
def test_a_window_scales_with_the_schedule(window: Window, total: int) -> None:
    count = len(window.steps(total))
    assert abs(count - (window.stop - window.start) * total) <= 1


@given(windows, windows, st.integers(1, 120))
def test_cutting_loses_no_step_and_doubles_none(a: Window, b: Window, total: int) -> None:
    inside = a.within(b)
    parts = [*a.without(b), *([inside] if inside else [])]
    steps = sorted(step for part in parts for step in part.steps(total))
    assert steps == list(a.steps(total))
    if inside:
        assert set(inside.steps(total)) == set(a.steps(total)) & set(b.steps(total))


@pytest.mark.parametrize("bad", [(-0.1, 1.0), (0.5, 0.5), (0.6, 0.2), (0.0, 1.1)])
def test_impossible_windows_are_refused(bad: tuple[float, float]) -> None:
    with pytest.raises(ConfigError, match="0 <= start < stop <= 1"):
        Window(*bad)
