"""Where texts lie for a text encoder, and how far concepts are from one another."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from embedops.encoders import Encoder
from embedops.subspace import Subspace

_AT_ONCE = 64
_MOST_WORDS = 600
"""Words of the vocabulary that neighbours are looked for in, the most frequent ones."""

Vectors = dict[str, Tensor]
"""By text, float32 `[dim]`."""


def sentence_vectors(
    encoder: Encoder, texts: Sequence[str], step: Callable[[], None]
) -> dict[str, Vectors]:
    """Per text encoder the sentence vector of each text.

    Args:
        encoder: the text encoders.
        texts: each once.
        step: called after each of `batches(texts)` batches.
    """
    found: dict[str, Vectors] = {}
    for first in range(0, len(texts), _AT_ONCE):
        some = list(texts[first : first + _AT_ONCE])
        for stream, rows in encoder.pooled(some).items():
            found.setdefault(stream, {}).update(zip(some, rows.cpu(), strict=True))
        step()
    return found


def batches(texts: Sequence[str]) -> int:
    """How many batches `sentence_vectors` makes of them."""
    return math.ceil(len(texts) / _AT_ONCE)


def words_to_search(encoder: Encoder) -> list[str]:
    """The vocabulary's most frequent words."""
    return list(encoder.vocabulary()[:_MOST_WORDS])


def nearest(vectors: Vectors, text: str, among: Sequence[str], count: int) -> list[str]:
    """The texts `among` others that are nearest to one, by the cosine about their mean."""
    rows = torch.stack([vectors[other] for other in among])
    centre = rows.mean(0)
    own = torch.nn.functional.normalize(vectors[text] - centre, dim=0)
    cosines = torch.nn.functional.normalize(rows - centre, dim=1) @ own
    order = cosines.argsort(descending=True).tolist()
    return [among[k] for k in order if among[k] != text][:count]


def cosine(vectors: Vectors, first: str, second: str, among: Sequence[str]) -> float:
    """The cosine between two texts about the mean of others."""
    centre = torch.stack([vectors[other] for other in among]).mean(0)
    a, b = vectors[first] - centre, vectors[second] - centre
    return float(torch.nn.functional.cosine_similarity(a, b, dim=0))


def flat(
    vectors: Vectors, kinds: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, tuple[float, float]]]:
    """A map: the two directions in which these texts differ most, by principal components.

    Args:
        vectors: of all texts.
        kinds: the texts to place, by kind.
    """
    texts = [text for named in kinds.values() for text in named]
    rows = torch.stack([vectors[text] for text in texts])
    rows = torch.nn.functional.normalize(rows - rows.mean(0), dim=1)
    _, _, directions = torch.linalg.svd(rows, full_matrices=False)
    across = torch.zeros(len(texts), 2)
    across[:, : min(2, len(directions))] = rows @ directions[:2].T
    placed = {text: (x, y) for text, (x, y) in zip(texts, across.tolist(), strict=True)}
    return {kind: {text: placed[text] for text in named} for kind, named in kinds.items()}


def subspace_angles(
    vectors: Vectors, concepts: Mapping[str, Sequence[str]], among: Sequence[str]
) -> list[list[float]]:
    """The smallest principal angle between each two concepts' subspaces, in degrees.

    A concept's subspace is spanned by its phrases' sentence vectors, taken from the vocabulary's
    mean: what all texts share would else make every angle small.
    """
    centre = torch.stack([vectors[other] for other in among]).mean(0)
    spaces = [
        Subspace.span(torch.stack([vectors[phrase] - centre for phrase in phrases]))
        for phrases in concepts.values()
    ]
    return [
        [0.0 if a is b else math.degrees(float(a.principal_angles(b)[0])) for b in spaces]
        for a in spaces
    ]
