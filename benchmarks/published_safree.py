"""SAFREE's published formulas, term by term: what the plugin's linear algebra is held against.

Every projector is a `dim × dim` matrix, `P = Vᵀ (V Vᵀ)⁺ V`, and the expressions are evaluated in
the order in which they are written. Written from the formulas in the paper (arXiv 2410.12761) and
the published differences of the released code; it shares no code with either, or with the plugin.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor


def projector(vectors: Tensor) -> Tensor:
    """`P = Vᵀ (V Vᵀ)⁺ V`, the projector `[dim, dim]` on the span of the rows `[count, dim]`."""
    inverse: Tensor = torch.linalg.pinv(vectors @ vectors.T, rcond=1e-15)
    return vectors.T @ inverse @ vectors


@dataclass(frozen=True, eq=False)
class Steered:
    """What steering makes of one prompt.

    Attributes:
        mask: the triggering tokens, bool `[n]`.
        tokens: `p_safe`, `[seq, dim]`.
        projected: `p_proj` of the attended tokens, `[n + 2, dim]`.
        z: `1 − mean cos(p, p_proj)` over the attended tokens.
    """

    mask: Tensor
    tokens: Tensor
    projected: Tensor
    z: float


def steer_prompt(
    tokens: Tensor,
    masked: Tensor,
    concepts: Tensor,
    alpha: float = 0.01,
    order: Literal["paper", "released"] = "released",
    *,
    combined: bool = True,
) -> Steered:
    """One prompt's steering, literally.

    Args:
        tokens: `p`, `[seq, dim]`: BOS, the `n` tokens, EOS, padding.
        masked: sentence vectors with each token masked, `[n, dim]`.
        concepts: sentence vectors of the concept phrases, `[k, dim]`.
        alpha: the slack of the trigger rule.
        order: `(I − P_C) P_I p` or the paper's `P_I (I − P_C) p`.
        combined: multiply the two projectors first, from left to right as written. Without, each
            is applied to the tokens in turn: the kindest reading of the formula.
    """
    count, dim = masked.shape
    identity = torch.eye(dim, dtype=tokens.dtype)
    concept_projector = projector(concepts)
    prompt_projector = projector(masked)

    distance = ((identity - concept_projector) @ masked.T).norm(dim=0)
    mask = torch.zeros(count, dtype=torch.bool)
    for i in range(count):
        others = torch.cat([distance[:i], distance[i + 1 :]]).mean()
        mask[i] = ~(distance[i] < (1 + alpha) * others)

    without = identity - concept_projector
    last, first = (
        (without, prompt_projector) if order == "released" else (prompt_projector, without)
    )
    columns = (last @ first) @ tokens.T if combined else last @ (first @ tokens.T)
    projected = columns.T

    merged = tokens.clone()
    merged[1 : 1 + count][mask] = projected[1 : 1 + count][mask]
    attended = slice(0, min(count + 2, tokens.shape[0]))
    cosine = torch.cosine_similarity(projected[attended], tokens[attended], dim=-1)
    return Steered(mask, merged, projected[attended], float(1 - cosine.mean()))
