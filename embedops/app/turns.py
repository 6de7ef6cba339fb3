"""Several visitors at one model: one works at a time, first come, first served."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """A fair lock whose holder can let the others go first.

    Pipelines that share weights also share text encoders with hooks on them, and a processor gains
    nothing from two jobs at a time. So only the holder touches the model. One that works for long
    gives way between its steps, and what takes a moment is never held up by what takes minutes.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._queue: deque[object] = deque()  # the first one holds

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Wait for a turn, and keep it until the end of the block."""
        ticket = object()
        with self._condition:
            self._queue.append(ticket)
            self._condition.wait_for(lambda: self._queue[0] is ticket)
        try:
            yield
        finally:
            with self._condition:
                self._queue.popleft()
                self._condition.notify_all()

    def give_way(self) -> None:
        """Called by the holder: let everybody who waits have a turn first."""
        with self._condition:
            if len(self._queue) == 1:
                return
            ticket = self._queue.popleft()
            self._queue.append(ticket)
            self._condition.notify_all()
            self._condition.wait_for(lambda: self._queue[0] is ticket)
