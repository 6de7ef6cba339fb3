"""The small image tower that the evaluator and the image encoder share as an architecture."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.body(x))


def _halve(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        _Residual(outputs),
    )


class ConvTower(nn.Module):
    """A residual CNN from `[batch, 3, 64, 64]` in -1..1 to `[batch, dim]` features.

    The last map is pooled by mean and by maximum, since an object may fill the picture or a half.
    """

    def __init__(self, widths: tuple[int, int, int, int] = (24, 48, 96, 128)) -> None:
        super().__init__()
        first, second, third, fourth = widths
        self.dim = 2 * fourth
        self.layers = nn.Sequential(
            nn.Conv2d(3, first, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(first),
            nn.ReLU(),
            _Residual(first),
            _halve(first, second),
            _halve(second, third),
            nn.Conv2d(third, fourth, 3, padding=1, bias=False),
            nn.BatchNorm2d(fourth),
            nn.ReLU(),
        )

    def forward(self, pixels: Tensor) -> Tensor:
        maps = self.layers(pixels)
        return torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], dim=1)
