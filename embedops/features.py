"""Edits of the denoiser's own features, for methods that go beyond what it reads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

TensorMap = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Step:
    """One call of the denoiser, as the session sees it.

    Attributes:
        index: the 0-based step.
        total: the number of steps in the schedule.
        original: what the pipeline itself passed, by keyword, before any edit.
        edited_rows: rows of the batch (positive rows only) whose embeddings are edited now by the
            plugin that made this feature edit.
        rows: positive rows of the batch. With guidance in one batch they are its last ones, after
            as many negative rows.
        sides: sides of the guidance in the batch: 2 with guidance in one batch, else 1.
        places: for each of `edited_rows` the positions in its text that the edit is about; empty
            for edits of plugins, which are about all of it.
    """

    index: int
    total: int
    original: Mapping[str, object]
    edited_rows: tuple[int, ...]
    rows: int
    sides: int
    places: tuple[tuple[int, ...], ...] = ()


class FeatureEdit(ABC):
    """Hooks inside the denoiser, with an apply and remove pair of their own.

    The session calls `apply` once when it is attached and `remove` once when it is detached; at
    every step it calls `before`, runs the denoiser and calls `after`, also when the denoiser
    raised. State between the two belongs to the thread: pipelines that share weights must not see
    one another's.
    """

    @abstractmethod
    def apply(self, denoiser: nn.Module) -> None:
        """Register hooks inside `denoiser`. They must do nothing outside `before` … `after`.

        Raises:
            ConfigError: the denoiser is of a kind that the method does not know.
        """

    @abstractmethod
    def remove(self) -> None:
        """Take every hook out again."""

    @abstractmethod
    def before(self, step: Step, inputs: dict[str, object]) -> dict[str, object]:
        """The denoiser's keyword inputs, possibly with rows added, for this step."""

    @abstractmethod
    def after(self, step: Step, output: object) -> object:
        """The denoiser's output with added rows taken out again."""

    @abstractmethod
    def abandon(self) -> None:
        """Forget the step in progress: the denoiser raised."""


def map_batch(value: object, rows: int, change: TensorMap) -> object:
    """`value` with `change` applied to each tensor in it whose first dimension is `rows`.

    Walks the tuples, lists and dicts that denoisers take (`added_cond_kwargs`, ControlNet
    residuals); everything else passes as it is.
    """
    if isinstance(value, Tensor):
        return change(value) if value.ndim > 0 and value.shape[0] == rows else value
    if isinstance(value, tuple):
        return tuple(map_batch(v, rows, change) for v in value)
    if isinstance(value, list):
        return [map_batch(v, rows, change) for v in value]
    if isinstance(value, dict):
        return {k: map_batch(v, rows, change) for k, v in value.items()}
    return value
