from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from embedops.app import labels

numbers = st.floats(-5, 5, allow_nan=False)


def test_a_point_alone_has_its_label_above() -> None:
    assert labels.positions([(0.0, 0.0)], ["cat"]) == ["top center"]
    assert labels.positions([], []) == []


def test_neighbours_do_not_cover_one_another() -> None:
    points = [(0.0, 0.0), (0.02, 0.0), (1.0, 1.0), (0.0, 1.0)]
    chosen = labels.positions(points, ["dagger", "knife", "crown", "cat"])
    assert chosen[0] == "top center"
    assert chosen[1] != "top center"


def test_a_long_label_at_the_edge_stays_on_the_map() -> None:
    points = [(0.0, 0.0), (1.0, 1.0)]
    _, right = labels.positions(points, ["x", "a prompt that is rather long"])
    assert right.endswith("left")


@given(st.lists(st.tuples(numbers, numbers, st.text(max_size=30)), max_size=12))
def test_every_label_has_a_place(given_points: list[tuple[float, float, str]]) -> None:
    points = [(x, y) for x, y, _ in given_points]
    chosen = labels.positions(points, [text for *_, text in given_points])
    assert len(chosen) == len(points)
    assert set(chosen) <= set(labels.POSITIONS)


def test_overlap_is_an_area() -> None:
    box = labels.Box(0, 0, 2, 2)
    assert math.isclose(box.overlap(labels.Box(1, 1, 3, 3)), 1.0)
    assert box.overlap(labels.Box(2, 2, 3, 3)) == 0.0
