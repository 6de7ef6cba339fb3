"""Pulling a token's attention to the part of the picture that it stands for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

Claim = tuple[int, Sequence[int], Tensor]
"""A row of the batch, positions in its text, and the mask `[1, side, side]` that they stand for."""


def attention_loss(maps: Mapping[str, Tensor], claims: Sequence[Claim]) -> Tensor:
    """L_CA: how far the maps of some tokens are from their masks.

    Each map is divided by its largest value, so that it is compared by its shape; the squared
    difference is averaged over places, tokens and layers. The paper says what is pulled where;
    this form is ours.

    Args:
        maps: by layer `[rows, places, seq]`.
        claims: what should be where.
    """
    terms = []
    for found in maps.values():
        edge = round(found.shape[1] ** 0.5)
        for row, positions, mask in claims:
            sized = nn.functional.interpolate(mask[None].to(found), (edge, edge), mode="area")
            expected = sized.flatten()
            seen = found[row, :, list(positions)].T
            shaped = seen / seen.amax(dim=1, keepdim=True).clamp_min(1e-6)
            terms.append((shaped - expected).square().mean())
    return torch.stack(terms).mean()
