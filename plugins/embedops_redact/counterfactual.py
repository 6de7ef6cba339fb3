"""What the encoders would have said of other words, put in the place of what they said. Ours."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from embedops.encoders import Encoder
from embedops.errors import GuardError
from embedops.streams import Conditioning, TextStream


def read_instead(
    conditioning: Conditioning, texts: Mapping[int, str], encoder: Encoder, strength: float
) -> Conditioning:
    """`conditioning` with the rows of `texts` encoded from those texts.

    Every position of every stream is replaced, pooled vectors included: in a causal encoder
    whatever follows a word carries it, padding too. The negative side stays as it is.

    Args:
        conditioning: the batch.
        texts: by row the prompt to read instead; at least one.
        encoder: encodes them exactly as the pipeline does.
        strength: 1 takes the new encoding, less mixes the two position by position.

    Raises:
        GuardError: the encodings differ in length, so that they cannot be mixed.
    """
    rows = sorted(texts)
    prompts = [texts.get(row, prompt) for row, prompt in enumerate(conditioning.prompts)]
    new = encoder.encode([texts[row] for row in rows])
    if all(_fits(stream, new.stream(stream.name)) for stream in conditioning.streams):
        streams = [_put(s, new.stream(s.name), rows, strength) for s in conditioning.streams]
        return conditioning.replace(*streams, prompts=prompts)
    if strength < 1.0:
        raise GuardError(
            f"this pipeline encodes prompts to as many positions as they have tokens, so the "
            f"original and the rewritten prompt cannot be mixed at strength {strength}. Set "
            f"strength=1."
        )
    return encoder.encode(prompts).avoiding(conditioning.negative)


def _fits(old: TextStream, new: TextStream) -> bool:
    return old.embeds.shape[1:] == new.embeds.shape[1:]


def _put(old: TextStream, new: TextStream, rows: Sequence[int], strength: float) -> TextStream:
    roles, tokens = old.roles.clone(), list(old.tokens)
    roles[list(rows)] = new.roles
    for index, row in enumerate(rows):
        tokens[row] = new.tokens[index]
    return dataclasses.replace(
        old,
        embeds=_with_rows(old.embeds, new.embeds, rows, strength),
        roles=roles,
        tokens=tuple(tokens),
        pooled=None
        if old.pooled is None or new.pooled is None
        else _with_rows(old.pooled, new.pooled, rows, strength),
        mask=None
        if old.mask is None or new.mask is None
        else _with_masks(old.mask, new.mask, rows, strength),
    )


def _with_masks(old: Tensor, new: Tensor, rows: Sequence[int], strength: float) -> Tensor:
    index = torch.tensor(list(rows), device=old.device)
    values = new.to(old.device, old.dtype)
    if strength < 1.0:  # a mixture holds a part of both texts
        values = torch.maximum(old[index], values)
    return old.index_copy(0, index, values)


def _with_rows(old: Tensor, new: Tensor, rows: Sequence[int], strength: float) -> Tensor:
    index = torch.tensor(list(rows), device=old.device)
    values = new.to(old.device)
    if strength < 1.0:
        values = torch.lerp(old[index].float(), values.float(), strength)
    return old.index_copy(0, index, values.to(old.dtype))
