"""How much memory tensors take while something runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile, record_function

_EVENT, _MARK = "[memory]", "tensor-memory-mark"


@dataclass
class Memory:
    """Bytes of tensors that were made while it was watched; complete when the watch ends.

    Attributes:
        device: where.
        peak: the most that was alive at once.
        held: what is alive at the end.
        marks: what was alive at each call of `mark`.
    """

    device: torch.device
    peak: int = 0
    held: int = 0
    marks: list[int] = field(default_factory=list)
    _before: int = 0

    def mark(self) -> None:
        """Note what is alive now."""
        if self.device.type == "cuda":
            self.marks.append(torch.cuda.memory_allocated(self.device) - self._before)
            return
        with record_function(_MARK):
            pass


@contextmanager
def watched(device: torch.device | str = "cpu") -> Iterator[Memory]:
    """Counts what is allocated on `device` inside the block.

    On CUDA the allocator counts. The CPU's allocator tells only the profiler, whose allocations and
    releases are added up here: to the byte, what operations need for themselves included, but for
    the scratch space that oneDNN takes past the allocator. The release of what was there before is
    not counted.
    """
    memory = Memory(torch.device(device))
    if memory.device.type == "cuda":
        torch.cuda.synchronize(device)
        memory._before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        yield memory
        torch.cuda.synchronize(device)
        memory.peak = torch.cuda.max_memory_allocated(device) - memory._before
        memory.held = torch.cuda.memory_allocated(device) - memory._before
        return
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        yield memory
    results: Any = profiled.profiler
    events = sorted(
        _flat(results.kineto_results.experimental_event_tree()), key=lambda e: e.start_time_ns
    )
    alive: dict[int, int] = {}
    for event in events:
        if event.name == _MARK:
            memory.marks.append(memory.held)
        if event.name != _EVENT:
            continue
        size, place = event.extra_fields.alloc_size, event.extra_fields.ptr
        if size > 0:
            alive[place] = size
            memory.held += size
            memory.peak = max(memory.peak, memory.held)
        else:
            memory.held -= alive.pop(place, 0)


def weights(*modules: object) -> int:
    """Bytes of the parameters and buffers of those that are networks, shared ones once."""
    tensors = {
        tensor.data_ptr(): tensor.nbytes
        for module in modules
        if isinstance(module, nn.Module)
        for tensor in (*module.parameters(), *module.buffers())
    }
    return sum(tensors.values())


def _flat(events: Iterable[Any]) -> Iterator[Any]:
    waiting = list(events)
    while waiting:
        event = waiting.pop()
        waiting.extend(event.children)
        yield event
