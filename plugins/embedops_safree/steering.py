"""Moving tokens away from the concepts and along the prompt's own space."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from embedops.subspace import Subspace

Order = Literal["paper", "released"]


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
    # With `P_I = Bᵀ B` both orders hold `B (I − P_C)`: rejecting the few rows of `B` takes the
    # place of rejecting every token.
    rest = concepts.reject(basis)
    steered = p @ rest.T @ basis if order == "paper" else p @ basis.T @ rest
    return steered.to(tokens.dtype)


def merge(tokens: Tensor, steered: Tensor, mask: Tensor, strength: float = 1.0) -> Tensor:
    """`p_safe = m ⊙ p_proj + (1 − m) ⊙ p` (SAFREE), `[seq, dim]`.

    Rows outside `mask` keep their bits. `strength` (ours) interpolates from `p` to `p_safe`.

    Args:
        tokens: `p`, `[seq, dim]`.
        steered: `p_proj`, `[seq, dim]`.
        mask: the triggering positions, bool `[seq]`.
        strength: from 0 (`p`) to 1 (`p_safe`).
    """
    wanted = steered if strength == 1 else torch.lerp(tokens, steered, strength)
    return torch.where(mask[:, None], wanted, tokens)


def removed_share(tokens: Tensor, steered: Tensor) -> float:
    """`z = 1 − mean cos(p, p_proj)`: how far steering turns the tokens, from 0 to 2.

    Args:
        tokens: the attended tokens of a prompt, `[count, dim]`.
        steered: all of them steered, triggering or not, `[count, dim]`.
    """
    # Three reductions. `cosine_similarity` writes out both normalised matrices, twice the time.
    p, p_proj = tokens, steered
    norms = torch.linalg.vector_norm(p, dim=-1) * torch.linalg.vector_norm(p_proj, dim=-1)
    cosine = torch.linalg.vecdot(p, p_proj) / norms.clamp(min=1e-16)
    return 1 - float(cosine.mean())
