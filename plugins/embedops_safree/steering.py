"""Moving tokens away from the concepts and along the prompt's own space."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from embedops.subspace import Subspace

Order = Literal["paper", "released"]

_LEAST_NORMS = 1e-16
"""In place of `‖p‖ ‖p_proj‖` where that is zero: the cosine of a vanished token is 0."""


def steer(tokens: Tensor, prompt: Subspace, concepts: Subspace, order: Order) -> Tensor:
    """`p_proj`: token embeddings in the prompt's space without the concepts, `[..., dim]`.

    The two projectors do not commute. `"paper"` gives `P_I (I − P_C) p`, which lies in the
    prompt's span and keeps a rest of the concepts; `"released"` gives `(I − P_C) P_I p`, exactly
    orthogonal to the concepts and slightly outside the prompt's span (SAFREE, arXiv
    2410.12761, and its released code).

    Args:
        tokens: token embeddings `p`, `[..., dim]`.
        prompt: the span of the prompt's sentence vectors with each token masked, `P_I`.
        concepts: the span of the concepts' sentence vectors, `P_C`.
        order: which projection comes last.
    """
    p, basis = prompt.matched(tokens)
    # With `P_I = Bᵀ B` either order holds `B (I − P_C)`, once and for all tokens: one row for each
    # direction of the prompt is rejected, instead of each token.
    rest = concepts.reject(basis)
    steered = p @ rest.T @ basis if order == "paper" else p @ basis.T @ rest
    return steered.to(tokens.dtype)


def merge(tokens: Tensor, steered: Tensor, at: Tensor, strength: float = 1.0) -> Tensor:
    """`p_safe = m ⊙ p_proj + (1 − m) ⊙ p` (SAFREE), `[seq, dim]`, with `m` 1 in the rows `at`.

    The other rows keep their bits. `strength` (ours) interpolates from `p` to `p_safe`, in
    `p_proj`'s dtype.

    Args:
        tokens: `p`, `[seq, dim]`.
        steered: `p_proj` in the rows `at`, `[count, dim]`.
        at: the positions of the triggering tokens, int64 `[count]`.
        strength: from 0 (`p`) to 1 (`p_safe`).
    """
    wanted = steered
    if strength != 1:
        wanted = torch.lerp(tokens[at].to(steered.dtype), steered, strength)
    return tokens.index_copy(0, at, wanted.to(tokens.dtype))


def removed_share(tokens: Tensor, steered: Tensor) -> float:
    """`z = 1 − mean cos(p, p_proj)`: how far steering turns the tokens, from 0 to 2.

    Args:
        tokens: the attended tokens of a prompt, float32 or float64 `[count, dim]`.
        steered: all of them steered, triggering or not, `[count, dim]`.
    """
    # Three reductions: `cosine_similarity` would write out both matrices normalised.
    norms = torch.linalg.vector_norm(tokens, dim=-1) * torch.linalg.vector_norm(steered, dim=-1)
    cosine = torch.linalg.vecdot(tokens, steered) / norms.clamp(min=_LEAST_NORMS)
    return 1 - float(cosine.mean())
