"""Work that takes longer than a moment: on a thread of its own, with progress, and stoppable."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from embedops.app.turns import Turns

T = TypeVar("T")
_POLL = 0.25
"""Seconds between looks at the progress."""


class Stopped(Exception):  # noqa: N818  # not an error: the visitor asked for it
    """The visitor stopped the job, started it anew or left."""


@dataclass(frozen=True)
class Progress:
    """How far a job is: `done` of `total` units of `what`."""

    what: str = "waiting for the model"
    done: int = 0
    total: int = 1


class Job(Generic[T]):
    """One piece of work for one visitor.

    Args:
        turns: the model's.
        work: gives results as they are ready; it calls `step` after each unit of its work.

    Attributes:
        progress: how far it is.
        last: its latest result.
    """

    def __init__(self, turns: Turns, work: Callable[[Job[T]], Iterator[T]]) -> None:
        self._turns, self._work = turns, work
        self._told: queue.SimpleQueue[T | BaseException | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="embedops-job", daemon=True)
        self.progress = Progress()
        self.last: T | None = None

    @property
    def stopped(self) -> bool:
        """Whether it was told to stop."""
        return self._stop.is_set()

    @property
    def alive(self) -> bool:
        """Whether its thread works."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Tell it to stop at the next step."""
        self._stop.set()

    def begin(self, what: str, total: int) -> None:
        """Called by the work: `total` units of `what` come next."""
        self.progress = Progress(what, 0, total)

    def step(self) -> None:
        """Called by the work after each unit.

        Raises:
            Stopped: it was told to stop.
        """
        now = self.progress
        self.progress = Progress(now.what, min(now.done + 1, now.total), now.total)
        self.pause()

    def pause(self) -> None:
        """Called by the work where nothing is to be counted: let others have a turn.

        Raises:
            Stopped: it was told to stop.
        """
        self._turns.give_way()
        if self.stopped:
            raise Stopped

    def tell(self, result: T) -> None:
        """Called by the work from within a function of its own: a result is ready."""
        self.last = result
        self._told.put(result)

    def results(self) -> Iterator[T | Progress]:
        """Start, and give results and progress as they come. Closing the iterator stops the work.

        Raises:
            Stopped: it was told to stop; everything that was ready has been given.
        """
        self._thread.start()
        shown: Progress | None = None
        try:
            while True:
                try:
                    told = self._told.get(timeout=_POLL)
                except queue.Empty:
                    if self.progress != shown:
                        shown = self.progress
                        yield shown
                    continue
                if told is None:
                    return
                if isinstance(told, BaseException):
                    raise told
                yield told
        except GeneratorExit:
            self.stop()
            raise

    def join(self) -> None:
        """Wait until the work has ended."""
        self._thread.join()

    def _run(self) -> None:
        try:
            with self._turns.hold():
                if self.stopped:
                    raise Stopped
                for result in self._work(self):
                    self.tell(result)
            self._told.put(None)
        except BaseException as error:  # noqa: BLE001  # raised again where the results are read
            self._told.put(error)
