"""The vocabulary's words that a learned concept's vectors are nearest to."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from embedops.concepts import Concept
from embedops.errors import ConfigError
from embedops.families import adapter_for
from embedops.placeholders import speller

_MARKS = "▁Ġ"
"""What tokenizers write for a space before a word."""

Neighbours = dict[str, list[list[tuple[str, float]]]]
"""Per text encoder and vector the nearest words with their cosines, nearest first."""


@torch.no_grad()
def nearest_words(concept: Concept, pipe: Any, count: int = 5) -> Neighbours:
    """The words nearest to each vector, by cosine over a text encoder's whole vocabulary.

    Args:
        concept: its own vectors, not those of its parts.
        pipe: a pipeline with the text encoders that it was learnt for.
        count: of words for each vector.

    Raises:
        ConfigError: the pipeline lacks a text encoder, or it is of another width.
        UnsupportedPipelineError: no adapter knows the pipeline.
    """
    spellings = adapter_for(pipe).tokenizers()
    found: Neighbours = {}
    for name, rows in concept.vectors.items():
        if name not in spellings:
            known = ", ".join(spellings) or "none that spells"
            raise ConfigError(
                f"the concept {concept.token!r} has vectors for {name}; this "
                f"{type(pipe).__name__} has {known}. Give the pipeline that it was learnt with."
            )
        table: Tensor = getattr(pipe, name).get_input_embeddings().weight
        if table.shape[1] != rows.shape[1]:
            raise ConfigError(
                f"the concept {concept.token!r} has vectors {rows.shape[1]} wide, and this "
                f"{type(pipe).__name__}'s {name} reads {table.shape[1]}: it was learnt for another "
                f"text encoder."
            )
        tokenizer = speller(getattr(pipe, spellings[name]))
        own = rows.to(table.device, torch.float32)
        own = own / own.norm(dim=1, keepdim=True).clamp_min(1e-12)
        lengths = table.float().norm(dim=1).clamp_min(1e-12)
        cosines = own @ table.float().T / lengths
        cosines[:, len(tokenizer) :] = -1.0  # rows that no token reads
        best = cosines.topk(min(count, cosines.shape[1]), dim=1)
        found[name] = [
            [
                (_word(tokenizer.convert_ids_to_tokens(int(i))), float(cosine))
                for i, cosine in zip(ids, values, strict=True)
            ]
            for ids, values in zip(best.indices, best.values, strict=True)
        ]
    return found


def _word(piece: str) -> str:
    return piece.removesuffix("</w>").lstrip(_MARKS)
