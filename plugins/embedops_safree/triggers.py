"""Which tokens of a prompt carry the concepts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from embedops.errors import ConfigError, GuardError
from embedops.subspace import Subspace


@dataclass(frozen=True, eq=False)
class Triggers:
    """The trigger rule applied to the `n` tokens of one prompt, all `[n]` on the CPU.

    Attributes:
        distance: `δ`, from the prompt without the token to the concepts; the units of the
            encoder's sentence vectors. float64.
        threshold: what `δ` was held against, `(1 + α)` times the mean `δ` of the other tokens.
        mask: bool, True where removing the token takes the prompt away from the concepts.
    """

    distance: Tensor
    threshold: Tensor
    mask: Tensor

    def __bool__(self) -> bool:
        return bool(self.mask.any())


def trigger_mask(
    masked: Tensor, concepts: Subspace, alpha: float, whole: Tensor | None = None
) -> Tensor:
    """The trigger rule for one window: bool `[n]`. See `find_triggers`."""
    whole = None if whole is None else whole.reshape(1, -1)
    return find_triggers(masked, concepts, alpha, whole=whole).mask


def find_triggers(
    masked: Tensor,
    concepts: Subspace,
    alpha: float,
    *,
    whole: Tensor | None = None,
    windows: Sequence[int] | None = None,
) -> Triggers:
    """The tokens without which a prompt is further from the concepts than it is on average.

    Token `i` triggers unless `δ_i < (1 + α) · mean_{j≠i} δ_j`, with `δ_i` the distance of the
    prompt's sentence vector without token `i` to the span of the concepts (SAFREE, arXiv
    2410.12761, and its released code). The rule is relative to the prompt's own tokens, so some
    token of most prompts triggers.

    Ours: in a window with a single token the mean is over nothing, and `δ` of the unmasked window
    takes its place; a prompt longer than the encoder is decided window by window.

    Args:
        masked: sentence vectors with each token masked in turn, `[n, dim]`.
        concepts: the span of the concepts' sentence vectors.
        alpha: the slack `α`.
        whole: sentence vectors of the unmasked windows, `[windows, dim]`; needed where a window
            has one token.
        windows: the window of each token; all in one where left out.

    Raises:
        ConfigError: a window has one token and `whole` is missing.
        GuardError: a distance is NaN or infinite.
    """
    distance = concepts.distance(masked).to("cpu", torch.float64)
    if not all(map(math.isfinite, distance.tolist())):
        raise GuardError(
            "a prompt's distance to the concepts is NaN or infinite, so its tokens cannot be "
            "judged. Half precision overflows in some text encoders; load them in bfloat16 or "
            "float32."
        )
    if windows is None or len(set(windows)) <= 1:
        others = _mean_of_others(distance, concepts, whole)
    else:
        others = torch.empty_like(distance)
        for number in set(windows):
            members = torch.tensor([w == number for w in windows])
            unmasked = None if whole is None else whole[number : number + 1]
            others[members] = _mean_of_others(distance[members], concepts, unmasked)
    threshold = (1 + alpha) * others
    return Triggers(distance, threshold, distance >= threshold)


def _mean_of_others(distance: Tensor, concepts: Subspace, whole: Tensor | None) -> Tensor:
    """For each token of one window the mean distance of the others, `[n]`."""
    if distance.numel() != 1:
        return (distance.sum() - distance) / (distance.numel() - 1)
    if whole is None:
        raise ConfigError(
            "a prompt of one token is compared with the prompt unmasked: pass its sentence vector "
            "as `whole`."
        )
    return concepts.distance(whole[:1]).double().cpu()
