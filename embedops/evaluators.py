"""Judges of what a model draws, where a model comes with one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from embedops.errors import EmbedopsError
from embedops.extension import unique_entry_points

ENTRY_POINTS = "embedops.evaluators"


class Reading(Protocol):
    """What one picture shows."""

    def sees(self, name_or_group: str) -> bool:
        """Whether an object, or any object of a group, is seen."""

    def seen(self) -> tuple[str, ...]:
        """Names of all objects seen, most probable first."""


class Evaluator(Protocol):
    """Reads pictures, or clips where that is what the model draws.

    An entry point in `embedops.evaluators`, named like the model, gives the class; its class method
    `load()` gives an object.
    """

    def read(self, drawn: Sequence[Any]) -> Sequence[Reading]:
        """One reading a picture (PIL), or a clip (a list of them), in order."""


def evaluator_for(model: str) -> Evaluator | None:
    """The evaluator of the installed model called `model`; None where it comes with none.

    Raises:
        EmbedopsError: it is installed and cannot be loaded.
    """
    point = unique_entry_points(ENTRY_POINTS).get(model)
    if point is None:
        return None
    try:
        evaluator: Evaluator = point.load().load()
    except (ImportError, AttributeError, OSError, ValueError) as error:
        raise EmbedopsError(
            f"the evaluator of {model!r} ({point.value}) cannot be loaded: {error}. Install its "
            f"package again."
        ) from error
    return evaluator
