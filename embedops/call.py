"""What a session remembers of one call of the pipeline."""

from __future__ import annotations

from typing import NamedTuple

from embedops.families import Observed
from embedops.features import FeatureEdit, Step
from embedops.schedule import Schedule
from embedops.streams import Conditioning
from embedops.swap import Swap


class Seen(NamedTuple):
    """What the steps need of a call's `Observed`. Its encoder is not among it: that holds what it
    noted while it encoded, many times the text itself."""

    images_per_prompt: int
    unnamed: Conditioning | None


class Call:
    """One call of the pipeline, from its start to the last step."""

    def __init__(self) -> None:
        self.parts: list[Observed] = []  # until they are resolved
        self.resolved: tuple[Seen, Schedule] | None = None
        self.unchecked = False
        self.swap: Swap | None = None
        self.done = 0  # steps begun
        self.total = 0
        self.open: list[tuple[FeatureEdit, Step]] = []
        self.naming: dict[tuple[str, int], tuple[tuple[int, ...], ...]] = {}
