from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedops import Window
from embedops_safree.self_validation import filter_window, last_step


@pytest.mark.parametrize(
    ("z", "released", "paper"), [(0.0, 0, 5), (0.5333, 5, 6), (0.65, 10, 7), (2.0, 10, 9)]
)
def test_published_steps(z: float, released: int, paper: int) -> None:
    assert last_step(z, "released") == released
    assert last_step(z, "paper") == paper


def test_styles_switch_later() -> None:
    assert last_step(0.54, "released", "content") == 6
    assert last_step(0.54, "released", "style") == 3
    assert last_step(0.55, "released", "style") == 5


@given(a=st.floats(0, 2), b=st.floats(0, 2), variant=st.sampled_from(["paper", "released"]))
def test_a_larger_turn_never_holds_shorter(a: float, b: float, variant: str) -> None:
    steps = [last_step(z, variant) for z in sorted([a, b])]  # type: ignore[arg-type]
    assert 0 <= steps[0] <= steps[1] <= 10


@pytest.mark.parametrize(("total", "count"), [(50, 11), (100, 22), (20, 5), (10, 3), (4, 1)])
def test_the_window_means_the_same_for_every_sampler(total: int, count: int) -> None:
    assert list(filter_window(10).steps(total)) == list(range(count))


def test_step_zero_is_always_inside() -> None:
    assert list(filter_window(0).steps(50)) == [0]
    assert list(filter_window(0).steps(4)) == [0]


def test_the_window_ends_with_the_schedule() -> None:
    assert filter_window(50) == Window()
    assert last_step(1.0, "released", gamma=50) == 50
