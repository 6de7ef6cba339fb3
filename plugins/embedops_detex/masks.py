"""Masks from the model's own attention, where none are given."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from embedops.learning.attention import AttentionMaps, as_pictures
from embedops.learning.method import Task
from embedops.learning.objective import Objective

_TIMES = (0.2, 0.35, 0.5)
_BINS = 64


@torch.no_grad()
def attention_masks(
    task: Task, maps: AttentionMaps, text: str, positions: Sequence[int]
) -> list[Tensor]:
    """Where the denoiser looks for some tokens of a text, per picture `[1, side, side]` of 0 and 1.

    Maps over three noise levels are averaged and cut at the threshold that parts them best
    (Otsu, 1979).

    Args:
        task: the pictures and the model.
        maps: open on the denoiser's cross-attention.
        text: says what the pictures show.
        positions: of the words for it.
    """
    objective = Objective(task.pipe.scheduler)
    generator = torch.Generator().manual_seed(task.seed)
    masks = []
    for picture in task.pictures:
        latents, _ = task.denoising.encode(picture.pixels[None])
        rows = latents.expand(len(_TIMES), *latents.shape[1:])
        noise = torch.randn(rows.shape, generator=generator).to(rows.device)
        times = objective.times(torch.tensor(_TIMES, device=rows.device))
        bundle = task.denoising.read([text] * len(_TIMES))
        task.denoising.predict(objective.noisy(rows, noise, times), times, bundle)
        seen = as_pictures(maps.take(), picture.pixels.shape[-1])
        masks.append(_split(seen[:, list(positions)].mean((0, 1)))[None].cpu())
    return masks


def _split(values: Tensor) -> Tensor:
    """1 above the threshold that maximises the variance between the two sides, else 0."""
    low, high = values.min(), values.max()
    if bool(high <= low):
        return torch.ones_like(values)
    bins = ((values - low) / (high - low) * (_BINS - 1)).round()
    counts = torch.bincount(bins.long().flatten(), minlength=_BINS).double()
    levels = torch.arange(_BINS, dtype=torch.double, device=values.device)
    below = counts.cumsum(0)[:-1]
    above = counts.sum() - below
    mass = (counts * levels).cumsum(0)
    apart = mass[:-1] / below.clamp_min(1) - (mass[-1] - mass[:-1]) / above.clamp_min(1)
    threshold = (below * above * apart.square()).argmax()
    return (bins > threshold).float()
