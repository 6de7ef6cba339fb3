"""One text encoder's view of one prompt, judged and steered."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from embedops.edits import TokenTrace
from embedops.encoders import LeaveOneOut
from embedops.errors import GuardError
from embedops.streams import Role, TextStream
from embedops.subspace import Subspace
from embedops_safree.config import SafreeConfig
from embedops_safree.steering import merge, removed_share, steer
from embedops_safree.triggers import Triggers, find_triggers

_ATTENDED = (Role.FRAME, Role.CONTENT, Role.END)


@dataclass(frozen=True, eq=False)
class Examined:
    """What was found in one prompt by one text encoder.

    Attributes:
        asked: the tokens and the sentence vectors without each of them.
        triggers: the verdict on each token.
        at: the positions to replace, ascending.
        steered: `p_proj` there, float32 `[len(at), dim]`.
        z: how far steering turns the attended tokens, triggering or not.
        unread: triggering tokens beyond the encoder's length, which the model never sees.
    """

    asked: LeaveOneOut
    triggers: Triggers
    at: tuple[int, ...]
    steered: Tensor
    z: float
    unread: int

    def safe_rows(self, tokens: Tensor, strength: float) -> Tensor:
        """`p_safe` of one prompt's token embeddings `[seq, dim]`, in their dtype."""
        at = torch.tensor(self.at, dtype=torch.long, device=tokens.device)
        return merge(tokens, self.steered.to(tokens.device), at, strength)

    def trace(self) -> list[TokenTrace]:
        """One entry a token, in reading order."""
        return [
            TokenTrace(text, self.asked.stream, position, score, threshold, triggered)
            for text, position, score, threshold, triggered in zip(
                self.asked.tokens,
                self.asked.positions,
                self.triggers.distance.tolist(),
                self.triggers.threshold.tolist(),
                self.triggers.mask.tolist(),
                strict=True,
            )
        ]


def examine(
    stream: TextStream, row: int, asked: LeaveOneOut, concepts: Subspace, config: SafreeConfig
) -> Examined:
    """Judge and steer one prompt as one text encoder sees it.

    The prompt's own space `P_I` is spanned by the tokens of window 0, which is what the model
    reads.

    Args:
        stream: the text encoder's view of the batch.
        row: the prompt's row in it.
        asked: the same prompt with each token masked.
        concepts: the span of the concepts' sentence vectors from the same encoder.
        config: variant, slack and reach.

    Raises:
        GuardError: the tokens that were asked about are not those that the model reads, or a
            vector is of another width or not finite.
    """
    _check_covered(stream, row, asked)
    if not asked.tokens:
        nothing = stream.embeds.new_zeros(0, stream.dim)
        none = torch.zeros(0)
        return Examined(asked, Triggers(none, none, none.bool()), (), nothing, 0.0, 0)
    _check_vectors(stream, asked, concepts)
    triggers = find_triggers(
        asked.masked, concepts, config.alpha, whole=asked.whole, windows=asked.window
    )
    hits = triggers.mask.tolist()
    at = sorted(p for p, hit in zip(asked.positions, hits, strict=True) if hit and p is not None)
    read = torch.tensor([number == 0 for number in asked.window], device=asked.masked.device)
    prompt = Subspace.span(asked.masked[read])
    attended = stream.positions(row, *_ATTENDED)
    rows = list(range(stream.embeds.shape[1])) if config.reach == "onward" else attended
    replaced = rows[rows.index(at[0]) :] if at and config.reach == "onward" else at
    tokens = stream.embeds[row, rows].float()
    steered = steer(tokens, prompt, concepts, config.variant)
    seen = [rows.index(p) for p in attended]
    return Examined(
        asked,
        triggers,
        at=tuple(replaced),
        steered=steered[[rows.index(p) for p in replaced]],
        z=removed_share(tokens[seen], steered[seen]),
        unread=sum(hits) - len(at),
    )


def _check_vectors(stream: TextStream, asked: LeaveOneOut, concepts: Subspace) -> None:
    finite = all(bool(torch.isfinite(t).all()) for t in (asked.masked, asked.whole))
    if not finite or stream.dim != concepts.dim or asked.masked.shape[1] != stream.dim:
        raise GuardError(
            f"{stream.name}: sentence vectors must be finite and as wide as the token embeddings "
            f"({stream.dim}) to steer them; got {'finite' if finite else 'NaN or infinite'} ones "
            f"of width {asked.masked.shape[1]} and concepts of width {concepts.dim}. Load the "
            f"encoder in bfloat16 or float32, and check its pipeline adapter."
        )


def _check_covered(stream: TextStream, row: int, asked: LeaveOneOut) -> None:
    read = stream.positions(row, Role.CONTENT)
    judged = sorted(p for p in asked.positions if p is not None)
    if read != judged:
        raise GuardError(
            f"{stream.name}: the model reads the prompt's tokens at positions {read}, but those "
            f"at {judged} were judged. A plugin before this one may have changed the wording; put "
            f"safree first, or check the pipeline adapter."
        )
