"""Where the labels of a map's points go, so that they can be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SIZE = (720.0, 420.0)
"""Pixels of the map; a narrower one only makes the estimate worse."""
_LETTER, _LINE, _GAP = 6.4, 13.0, 6.0
_ACROSS = {"right": 0.0, "center": -0.5, "left": -1.0}
_UP = {"top": 1.0, "middle": 0.0, "bottom": -1.0}
POSITIONS = (
    "top center",
    "bottom center",
    "middle right",
    "middle left",
    "top right",
    "top left",
    "bottom right",
    "bottom left",
)
"""As plotly names them, best first."""


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels."""

    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: Box) -> float:
        """The area that both cover."""
        wide = min(self.right, other.right) - max(self.left, other.left)
        high = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(0.0, wide) * max(0.0, high)


def positions(points: Sequence[tuple[float, float]], texts: Sequence[str]) -> list[str]:
    """A position for each label, chosen one after the other for the least overlap with the points
    and with the labels before.

    Args:
        points: in the map's own units.
        texts: of the labels, as many.
    """
    if not points:
        return []
    places = _in_pixels(points)
    taken = [Box(x - 4, y - 4, x + 4, y + 4) for x, y in places]
    chosen = []
    for own, ((x, y), text) in enumerate(zip(places, texts, strict=True)):
        others = [box for k, box in enumerate(taken) if k != own]
        boxes = {name: _box(name, x, y, text) for name in POSITIONS}
        hidden = {
            name: sum(box.overlap(other) for other in others) + _outside(box)
            for name, box in boxes.items()
        }
        best = min(POSITIONS, key=hidden.__getitem__)
        taken.append(boxes[best])
        chosen.append(best)
    return chosen


def _in_pixels(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    axes = []
    for values, pixels in zip(zip(*points, strict=True), SIZE, strict=True):
        low, high = min(values), max(values)
        axes.append([(v - low) / ((high - low) or 1.0) * pixels for v in values])
    return list(zip(*axes, strict=True))


def _box(position: str, x: float, y: float, text: str) -> Box:
    up, across = position.split()
    wide = _LETTER * len(text)
    left = x + _ACROSS[across] * wide + (_GAP if across == "right" else 0.0)
    left -= _GAP if across == "left" else 0.0
    middle = y + _UP[up] * (_GAP + _LINE / 2)
    return Box(left, middle - _LINE / 2, left + wide, middle + _LINE / 2)


def _outside(box: Box) -> float:
    """The area of the box that the map cuts off, with the margin that plotly leaves."""
    margin = 40.0
    hidden = max(0.0, -margin - box.left) + max(0.0, box.right - SIZE[0] - margin)
    return hidden * _LINE
