"""Where the time of a pipeline's call goes, on the CPU and on CUDA."""

from __future__ import annotations

import functools
import gc
import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from embedops.families import adapter_for


@dataclass
class Lap:
    """One call of a pipeline.

    Attributes:
        seconds: all of it.
        encoding: in `encode_prompt`, what a session asks there included.
        steps: each denoising step, from its beginning to the next one's.
        hooks: in each step, what a session's hooks take before the denoiser runs.
    """

    seconds: float = 0.0
    encoding: float = 0.0
    steps: list[float] = field(default_factory=list)
    hooks: list[float] = field(default_factory=list)


class Stopwatch:
    """Times calls of one pipeline.

    On the CPU it reads the processor time of this process, which other work on the machine does
    not change; with one thread that is what a call takes on a free machine. On CUDA it records
    events. What hooks take is time of the host, which a busy device hides.

    Args:
        pipe: the pipeline.
        device: where it runs.
    """

    def __init__(self, pipe: Any, device: torch.device | str) -> None:
        self._pipe = pipe
        self._cuda = torch.device(device).type == "cuda"

    def lap(self, call: Callable[[], object], steps: int) -> Lap:
        """Run `call`, which calls the pipeline once for `steps` steps. No garbage is collected
        meanwhile: what is collected, and when, says nothing of the call."""
        begun: list[Any] = []
        spent: list[float] = []
        encoded: list[tuple[Any, Any]] = []
        with self._watched(begun, spent, encoded), _uncollected():
            start = self._now()
            call()
            end = self._now()
        if self._cuda:
            torch.cuda.synchronize()
        each = len(begun) // steps  # calls of the denoiser in a step
        if each * steps != len(begun) or not each:
            raise ValueError(f"the denoiser was called {len(begun)} times in {steps} steps")
        firsts = [*begun[::each], end]
        return Lap(
            self._between(start, end),
            sum(self._between(a, b) for a, b in encoded),
            [self._between(a, b) for a, b in itertools.pairwise(firsts)],
            [sum(spent[i : i + each]) for i in range(0, len(spent), each)],
        )

    @contextmanager
    def _watched(
        self, begun: list[Any], spent: list[float], encoded: list[tuple[Any, Any]]
    ) -> Iterator[None]:
        entered = 0.0

        def begin(*_: object) -> None:
            nonlocal entered
            begun.append(self._now())
            entered = self._host()

        def end(*_: object) -> None:
            spent.append(self._host() - entered)

        original = self._pipe.encode_prompt
        own = vars(self._pipe).get("encode_prompt")

        @functools.wraps(original)
        def encode(*args: Any, **kwargs: Any) -> Any:
            before = self._now()
            result = original(*args, **kwargs)
            encoded.append((before, self._now()))
            return result

        handles = []
        for name in adapter_for(self._pipe).denoisers:
            part = getattr(self._pipe, name, None)
            if part is not None:
                # Around everybody else's hooks.
                handles.append(part.register_forward_pre_hook(begin, prepend=True))
                handles.append(part.register_forward_pre_hook(end))
        self._pipe.encode_prompt = encode
        try:
            yield
        finally:
            if own is None:
                del self._pipe.encode_prompt
            else:
                self._pipe.encode_prompt = own
            for handle in handles:
                handle.remove()

    def _now(self) -> Any:
        if not self._cuda:
            return time.process_time()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def _host(self) -> float:
        return time.perf_counter() if self._cuda else time.process_time()

    def _between(self, first: Any, second: Any) -> float:
        if self._cuda:
            return float(first.elapsed_time(second)) / 1000
        return float(second - first)


@contextmanager
def _uncollected() -> Iterator[None]:
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()
