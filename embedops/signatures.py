"""Calls by the names of their arguments."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from torch import nn


def named_arguments(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    """A call's arguments by name, with the defaults of those that were left out."""
    signature = inspect.signature(function)
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    named = dict(bound.arguments)
    for name, parameter in signature.parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            named.update(named.pop(name))
    return named


def forward_names(module: nn.Module) -> tuple[str, ...]:
    """The names of the arguments of a module's forward."""
    inner = getattr(module, "_orig_mod", module)  # torch.compile's wrapper takes *args
    return _argument_names(type(inner).forward)


@functools.lru_cache(maxsize=64)
def _argument_names(function: Callable[..., Any]) -> tuple[str, ...]:
    return tuple(inspect.signature(function).parameters)[1:]
