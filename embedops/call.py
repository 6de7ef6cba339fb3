"""What a session remembers of one call of the pipeline."""

from __future__ import annotations

from embedops.families import Observed
from embedops.features import FeatureEdit, Step
from embedops.schedule import Schedule
from embedops.swap import Swap


class Call:
    """One call of the pipeline, from its start to the last step."""

    def __init__(self) -> None:
        self.parts: list[Observed] = []
        self.resolved: tuple[Observed, Schedule] | None = None
        self.unchecked = False
        self.swap: Swap | None = None
        self.done = 0  # steps begun
        self.total = 0
        self.open: list[tuple[FeatureEdit, Step]] = []
        self.naming: dict[tuple[str, int], tuple[tuple[int, ...], ...]] = {}
