"""Additions to a denoiser's linear layers, at chosen tokens of the text.

A concept may have learnt more than vectors: what some layers of the denoiser, such as the
projections of the text to keys and values, are to add to their output. Nothing of the denoiser is
changed for that. Hooks add it, at the tokens that name the concept and at no others.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from embedops.errors import ConfigError, GuardError
from embedops.features import FeatureEdit, Step

Weights = Mapping[str, Tensor]
"""By the layer's path in the denoiser and `.down` `[rank, in]` with `.up` `[out, rank]`, whose
product is added to the layer's weight, or `.delta` `[out, in]`, which is added as it is."""

_TEXT = "encoder_hidden_states"
_KINDS = ("down", "up", "delta")


class Overlay(FeatureEdit):
    """Adds to the output of layers that read the text, at chosen places, inside a step or `where`.

    Args:
        weights: what to add.

    Raises:
        ConfigError: a name is none of the expected, or one of a pair is missing.
    """

    def __init__(self, weights: Weights) -> None:
        self._layers = _by_layer(weights)
        self._handles: list[Any] = []
        self._thread = threading.local()

    def apply(self, denoiser: nn.Module) -> None:
        """Hook the layers.

        Raises:
            ConfigError: the denoiser lacks a layer, or it has another shape.
        """
        found = {path: _layer(denoiser, path, parts) for path, parts in self._layers.items()}
        for path, layer in found.items():
            # Outside the graph of a compiled denoiser: a thread's state cannot be traced.
            add: Any = torch.compiler.disable(self._adding(path))  # type: ignore[no-untyped-call]
            self._handles.append(layer.register_forward_hook(add))

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []

    @contextmanager
    def where(self, mask: Callable[[], Tensor]) -> Iterator[None]:
        """What this thread runs inside reads the additions at some places of the text.

        Args:
            mask: gives bool `[rows, seq]`; asked at each layer.
        """
        before: Callable[[], Tensor] | None = getattr(self._thread, "mask", None)
        self._thread.mask = mask
        try:
            yield
        finally:
            self._thread.mask = before

    def before(self, step: Step, inputs: dict[str, object]) -> dict[str, object]:
        """The inputs as they are, after noting which rows of the batch are to read the additions.

        Raises:
            GuardError: another edit of features added rows, or the denoiser takes the text in
                another way.
        """
        text, own, total = inputs.get(_TEXT), step.original.get(_TEXT), step.sides * step.rows
        count = len(text) if isinstance(text, Tensor) else 0
        if not isinstance(text, Tensor) or not isinstance(own, Tensor) or len(own) != count:
            raise GuardError(
                f"what a concept learnt for the denoiser expects {_TEXT} as the pipeline passes "
                f"it; got {count} rows of it. Use the concept's vectors alone (concept.subject()), "
                f"or leave out the plugin that adds rows."
            )
        mask = torch.zeros(total, text.shape[1], dtype=torch.bool, device=text.device)
        for row, places in zip(step.edited_rows, step.places, strict=True):
            # On both sides of the guidance: it would exaggerate what one side alone adds.
            for start in range(0, total, step.rows):
                mask[start + row, list(places)] = True
        self._thread.mask = lambda: mask
        return inputs

    def after(self, step: Step, output: object) -> object:
        self._thread.mask = None
        return output

    def abandon(self) -> None:
        self._thread.mask = None

    def _adding(self, path: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
        parts = self._layers[path]

        def add(_layer: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
            where: Callable[[], Tensor] | None = getattr(self._thread, "mask", None)
            if where is None:
                return output
            read = args[0]
            own = {kind: part.to(read.device, read.dtype) for kind, part in parts.items()}
            if "delta" in own:
                changed = output + nn.functional.linear(read, own["delta"])
            else:
                narrow = nn.functional.linear(read, own["down"])
                changed = output + nn.functional.linear(narrow, own["up"])
            mask = where()
            # Where frames are folded into the batch each row stands for several.
            mask = mask.repeat_interleave(len(output) // len(mask), 0)
            return torch.where(mask[..., None], changed, output)

        return add


def _by_layer(weights: Weights) -> dict[str, dict[str, Tensor]]:
    layers: dict[str, dict[str, Tensor]] = {}
    for name, tensor in weights.items():
        path, _, kind = name.rpartition(".")
        if not path or kind not in _KINDS or tensor.ndim != 2:
            raise ConfigError(
                f"{name!r} of shape {list(tensor.shape)} is nothing to add to a layer: expected a "
                f"matrix named PATH.down and PATH.up, or PATH.delta."
            )
        layers.setdefault(path, {})[kind] = tensor
    for path, parts in layers.items():
        if set(parts) not in ({"down", "up"}, {"delta"}):
            raise ConfigError(
                f"the layer {path!r} has {', '.join(sorted(parts))}: expected down and up, or "
                f"delta alone."
            )
    return layers


def _layer(denoiser: nn.Module, path: str, parts: Mapping[str, Tensor]) -> nn.Module:
    whole = getattr(denoiser, "_orig_mod", denoiser)
    try:
        layer: nn.Module = whole.get_submodule(path)
    except AttributeError as error:
        raise ConfigError(
            f"the concept has learnt for a layer {path!r}, which this {type(whole).__name__} "
            f"lacks: it belongs to another model."
        ) from error
    expected = (
        tuple(parts["delta"].shape)
        if "delta" in parts
        else (parts["up"].shape[0], parts["down"].shape[1])
    )
    found = (getattr(layer, "out_features", None), getattr(layer, "in_features", None))
    if found != expected:
        raise ConfigError(
            f"the concept has learnt for a layer {path!r} of shape {expected}, and this "
            f"{type(whole).__name__}'s has {found}: it belongs to another model."
        )
    return layer
