"""How long the filter holds: longer, the more steering changes the prompt."""

from __future__ import annotations

import math

from embedops.edits import Window
from embedops_safree.config import Kind, Variant

PUBLISHED_STEPS = 50
"""The schedule in which the published constants count steps."""

_SLOPE_AND_CENTRE = {"content": (5.0, 5.333), "style": (7.0, 5.5)}


def last_step(z: float, variant: Variant, kind: Kind = "content", gamma: float = 10) -> int:
    """`t'`: the last 0-based step, of 50, at which the filter holds.

    - `"paper"`: `t' = γ · σ(z)`, rounded; from γ/2 upwards, since `z ≥ 0`.
    - `"released"`: `t' = round(γ · σ(5 · (10 z − 5.333)))`, for artists' styles
      `round(γ · σ(7 · (10 z − 5.5)))`: a steep switch at `z ≈ 0.53` (0.55).

    Args:
        z: how far steering turns the prompt's tokens, `removed_share`.
        variant: whose formula.
        kind: which constants of the released formula; the paper's has none.
        gamma: `γ`, in steps of a schedule of 50.
    """
    if variant == "paper":
        return round(gamma * _sigmoid(z))
    slope, centre = _SLOPE_AND_CENTRE[kind]
    return round(gamma * _sigmoid(slope * (10 * z - centre)))


def filter_window(step: int) -> Window:
    """The steps 0 … `step` of 50 as fractions of the schedule, the last one included.

    So does the published code (`step <= t'`): a prompt with a triggering token is steered at
    step 0 whatever `z` is.
    """
    return Window(0.0, min(1.0, (step + 1) / PUBLISHED_STEPS))


def _sigmoid(x: float) -> float:
    return 0.5 * (1 + math.tanh(0.5 * x))
