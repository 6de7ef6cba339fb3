"""Where in the picture the denoiser reads which token: cross-attention maps, with gradients."""

from __future__ import annotations

import functools
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from embedops.errors import UnsupportedPipelineError


class AttentionMaps:
    """Records the cross-attention of a denoiser in the thread that opened it, while it is open.

    The queries and keys that the layers compute anyway are listened to, so that any processor,
    fused or not, computes what it would have.

    Args:
        layers: cross-attention layers by path, each with `to_q`, `to_k`, `heads` and `scale`.

    Raises:
        UnsupportedPipelineError: a layer is of another make.
    """

    def __init__(self, layers: Mapping[str, nn.Module]) -> None:
        for path, layer in layers.items():
            if not all(hasattr(layer, name) for name in ("to_q", "to_k", "heads", "scale")):
                raise UnsupportedPipelineError(
                    f"{path} is a {type(layer).__name__} that does not compute queries and keys of "
                    f"its own, so its attention cannot be seen. Unfuse the projections first "
                    f"(pipe.unfuse_qkv_projections())."
                )
        self._layers = layers
        self._heard: dict[tuple[str, str], Tensor] = {}
        self._handles: list[Any] = []
        self._thread = 0

    def __enter__(self) -> AttentionMaps:
        self._thread = threading.get_ident()
        for path, layer in self._layers.items():
            for part in ("to_q", "to_k"):
                hear = functools.partial(self._hear, (path, part))
                self._handles.append(getattr(layer, part).register_forward_hook(hear))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self._heard.clear()

    def take(self) -> dict[str, Tensor]:
        """The maps of the last pass, and forget them: by layer `[rows, places, seq]`, the share of
        attention that each place of the picture gives each token, the mean over the heads."""
        maps = {path: self._map(path) for path in self._layers if (path, "to_q") in self._heard}
        self._heard.clear()
        return maps

    def _hear(
        self, key: tuple[str, str], _module: nn.Module, _args: tuple[Any, ...], output: Tensor
    ) -> None:
        if threading.get_ident() == self._thread:
            self._heard[key] = output

    def _map(self, path: str) -> Tensor:
        layer: Any = self._layers[path]
        queries, keys = (
            heard.view(*heard.shape[:2], layer.heads, -1).transpose(1, 2).float()
            for heard in (self._heard[path, part] for part in ("to_q", "to_k"))
        )
        shares = (queries @ keys.transpose(-1, -2) * float(layer.scale)).softmax(dim=-1)
        return shares.mean(1)


def as_pictures(maps: Mapping[str, Tensor], side: int) -> Tensor:
    """The maps of square pictures at one size.

    Args:
        maps: by layer `[rows, places, seq]`.
        side: of the result, in pixels.

    Returns:
        `[rows, seq, side, side]`, the mean over the layers.
    """
    sized = []
    for found in maps.values():
        edge = round(found.shape[1] ** 0.5)
        grid = found.transpose(1, 2).reshape(found.shape[0], -1, edge, edge)
        sized.append(nn.functional.interpolate(grid, (side, side), mode="bilinear"))
    return torch.stack(sized).mean(0)
