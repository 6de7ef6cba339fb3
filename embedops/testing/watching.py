"""Looking on while a pipeline draws."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from embedops.families import adapter_for

_WAITING = ("aten::_local_scalar_dense", "aten::equal", "aten::nonzero", "aten::is_nonzero")


def denoisers(pipe: Any) -> list[Any]:
    """The parts of a pipeline that denoise."""
    parts = (getattr(pipe, name, None) for name in adapter_for(pipe).denoisers)
    return [part for part in parts if part is not None]


class _Waits(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts operations for which a program must wait for its device."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        self.count += func.overloadpacket._qualified_op_name in _WAITING
        return func(*args, **(kwargs or {}))


@contextmanager
def waits(pipe: Any) -> Iterator[list[int]]:
    """Per call of the denoiser, how often it and its hooks wait for the device."""
    counts: list[int] = []
    mode = _Waits()

    def begin(*_: object) -> None:
        counts.append(-mode.count)

    def end(*_: object) -> None:
        counts[-1] += mode.count

    handles = []
    for denoiser in denoisers(pipe):
        # Around everybody else's hooks.
        handles.append(denoiser.register_forward_pre_hook(begin, prepend=True))
        handles.append(denoiser.register_forward_hook(end))
    try:
        with mode:
            yield counts
    finally:
        for handle in handles:
            handle.remove()


def louder(value: Any) -> Any:
    """`value` with every batch of feature vectors in it scaled."""
    if isinstance(value, Tensor):
        return value * 1.5 if value.is_floating_point() and value.ndim > 1 else value
    if isinstance(value, tuple | list):
        return type(value)(louder(v) for v in value)
    if isinstance(value, dict):
        return {k: louder(v) for k, v in value.items()}
    return value


@contextmanager
def outputs(pipe: Any) -> Iterator[list[Tensor]]:
    """What the denoiser returns inside the block, call by call."""
    seen: list[Tensor] = []

    def note(_module: object, _args: object, output: Any) -> None:
        first = output[0] if isinstance(output, tuple) else output.sample
        seen.append(torch.cat(first) if isinstance(first, list) else first.clone())

    handles = [d.register_forward_hook(note) for d in denoisers(pipe)]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
