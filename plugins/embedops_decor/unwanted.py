"""The subspace of unwanted words, from the words as they read inside a prompt."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from embedops.encoders import Encoder
from embedops.errors import ConfigError
from embedops.streams import Conditioning, Role
from embedops.subspace import Subspace


def unwanted_subspaces(
    encoder: Encoder, phrases: Sequence[str], template: str, neutral: str | None, rank: int | None
) -> dict[str, Subspace]:
    """Per stream the span of the unwanted words' contextual embeddings `X̃`.

    Each phrase is encoded inside `template`, and the rows of its own tokens are taken. With
    `neutral` the mean row of that word in the same place is taken off first (ours): token
    embeddings share a large common direction, and a basis that holds it removes a part of
    everything.

    Args:
        encoder: the pipeline's text encoders.
        phrases: unwanted phrases.
        template: a prompt with one `{}`.
        neutral: a word without much meaning of its own; None for the published method.
        rank: dominant directions to keep; None for all.

    Raises:
        ConfigError: a phrase has no tokens of its own in some stream.
    """
    # Spaces at the edges would be tokens to some encoders: inside a prompt they belong to a word.
    around = [part.strip() for part in template.split("{}")]
    parts = encoder.encode([part or " " for part in around])
    words = [template.format(phrase) for phrase in ([] if neutral is None else [neutral])]
    words += [template.format(phrase) for phrase in phrases]
    encoded = encoder.encode(words)
    found: dict[str, Subspace] = {}
    for stream in encoded.streams:
        before, after = (
            len(parts.stream(stream.name).positions(row, Role.CONTENT)) if part else 0
            for row, part in enumerate(around)
        )
        rows = [_own_rows(encoded, stream.name, row, before, after) for row in range(len(words))]
        if neutral is not None:
            centre = rows.pop(0).mean(0)
            rows = [row - centre for row in rows]
        for phrase, own in zip(phrases, rows, strict=True):
            if own.shape[0] == 0:
                raise ConfigError(
                    f"unwanted phrase {phrase!r} has no tokens of its own in {stream.name}. Use "
                    f"words that the encoder knows, or a shorter phrase."
                )
        found[stream.name] = Subspace.span(torch.cat(rows), rank=rank)
    return found


def pooled_subspaces(
    encoder: Encoder, phrases: Sequence[str], template: str, neutral: str | None, rank: int | None
) -> dict[str, Subspace]:
    """Per stream the span of the pooled vectors that the denoiser would read of the unwanted
    phrases, centred as above (ours). Streams whose pooled vector is not read are left out."""
    centre = [] if neutral is None else [template.format(neutral)]
    encoded = encoder.encode([*centre, *(template.format(phrase) for phrase in phrases)])
    found = {}
    for stream in encoded.streams:
        if not stream.pooled_read or stream.pooled is None:
            continue
        vectors = stream.pooled.float()
        if centre:
            vectors = vectors[1:] - vectors[:1]
        found[stream.name] = Subspace.span(vectors, rank=rank)
    return found


def _own_rows(encoded: Conditioning, name: str, row: int, before: int, after: int) -> Tensor:
    stream = encoded.stream(name)
    content = stream.positions(row, Role.CONTENT)
    own = content[before : len(content) - after]
    return stream.embeds[row, own].float()
