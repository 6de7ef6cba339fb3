"""Which scenes the training data is made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from embedops_emoji import world
from embedops_emoji.captions import ADJECTIVES, TAILS, Scene


@dataclass(frozen=True)
class Mix:
    """Shares of the kinds of scenes; singles take what is left.

    Attributes:
        pairs: two objects.
        half: a pair with one empty slot ("nothing and a cat").
        empty: a background alone.
        posed: of the scenes with objects, those tilted or upside down.
        styles: weights of the styles in the order of :data:`world.STYLES`.
        reserved: whether pairs kept for benchmarks may occur.
    """

    pairs: float = 0.45
    half: float = 0.03
    empty: float = 0.05
    posed: float = 0.0
    styles: tuple[float, float, float] = (0.4, 0.32, 0.28)
    reserved: bool = False


def sample_scene(rng: np.random.Generator, mix: Mix) -> Scene:
    """Draw one scene of the trained world; held-out objects never occur."""
    names = tuple(world.OBJECTS)
    background = tuple(world.BACKGROUNDS)[int(rng.integers(len(world.BACKGROUNDS)))]
    style = tuple(world.STYLES)[int(rng.choice(3, p=mix.styles))]
    pose = world.DEFAULT_POSE
    if rng.random() < mix.posed:
        pose = ("tilted", "upside down")[int(rng.integers(2))]
    draw = rng.random()
    first = names[int(rng.integers(len(names)))]
    if draw < mix.empty:
        return Scene((), background, world.DEFAULT_STYLE)
    if draw < mix.empty + mix.half:
        slots = (first, None) if rng.random() < 0.5 else (None, first)
        return Scene(slots, background, style, pose)
    if draw < mix.empty + mix.half + mix.pairs:
        while True:
            second = names[int(rng.integers(len(names)))]
            if second != first and (mix.reserved or not world.is_reserved(first, second)):
                return Scene((first, second), background, style, pose)
            first = names[int(rng.integers(len(names)))]
    return Scene((first,), background, style, pose)


def filler_text(rng: np.random.Generator) -> str:
    """One to three words that name nothing, for a blank picture."""
    words = [ADJECTIVES[int(rng.integers(len(ADJECTIVES)))] for _ in range(int(rng.integers(1, 3)))]
    if rng.random() < 0.4:
        words.append(TAILS[int(rng.integers(len(TAILS)))])
    return " ".join(words) if rng.random() < 0.5 else f"a {' '.join(words)}"


def to_tensor(pixels: npt.NDArray[np.uint8]) -> Tensor:
    """Bytes `[batch, height, width, 3]` to floats `[batch, 3, height, width]` in -1..1."""
    batch = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)
    return batch.contiguous()
