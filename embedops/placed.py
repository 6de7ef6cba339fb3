"""Learned concepts in use in one pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from embedops.concepts import Concept, Vectors
from embedops.edits import Edit, Trace, Window
from embedops.errors import ConfigError, UnsupportedPipelineError
from embedops.families import Adapter
from embedops.overlay import Overlay
from embedops.placeholders import Placeholders, shown_piece
from embedops.schedule import EditFunction
from embedops.streams import Conditioning, TextStream

_ROWS, _COLUMNS = 16, 4
_TOLERANCE = 0.02
"""In units of the table's spread: what half precision and bfloat16 do to it stays below."""


class PlacedConcepts:
    """The concepts that the prompts of one pipeline may name.

    Args:
        adapter: the pipeline's.
    """

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self._placeholders: Placeholders | None = None
        self._known: dict[str, Concept] = {}
        self._outputs: dict[str, Vectors] = {}
        self._overlays: dict[str, Overlay] = {}

    @property
    def known(self) -> tuple[Concept, ...]:
        return tuple(self._known.values())

    def add(self, concept: Concept) -> None:
        """Let prompts name `concept`.

        Raises:
            ConfigError: its token is in use, or no text encoder is the one it was learnt for.
            UnsupportedPipelineError: the pipeline's adapter does not say how it spells.
        """
        encoders = self._adapter.tokenizers()
        if not encoders:
            raise UnsupportedPipelineError(
                f"the adapter of {type(self._adapter.pipe).__name__} names no tokenizers, so "
                f"concepts cannot be added: it needs `tokenizers()`."
            )
        if self._placeholders is None:
            self._placeholders = Placeholders(self._adapter.pipe, encoders)
        places = self._places(concept, encoders)
        said = dict.fromkeys(encoders, concept.said) if concept.said else {}
        added: list[str] = []
        try:
            for token, vectors in ((concept.token, concept.vectors), *concept.parts.items()):
                placed = {places[n]: rows for n, rows in vectors.items() if n in places}
                self._placeholders.add(token, placed, said)
                added.append(token)
            if concept.overlay:
                overlay = Overlay(concept.overlay)
                overlay.apply(getattr(self._adapter.pipe, self._adapter.denoisers[0]))
                self._overlays[concept.token] = overlay
        except ConfigError:
            for token in added:
                self._placeholders.remove(token)
            raise
        self._known[concept.token] = concept
        self._outputs[concept.token] = {
            places[n]: rows for n, rows in concept.outputs.items() if n in places
        }

    def remove(self, token: str) -> None:
        """Forget the concept called `token`.

        Raises:
            ConfigError: it is not known here.
        """
        if token not in self._known or self._placeholders is None:
            known = ", ".join(map(repr, self._known)) or "none"
            raise ConfigError(f"there is no concept {token!r} in this session; known: {known}.")
        for name in (token, *self._known[token].parts):
            self._placeholders.remove(name)
        if token in self._overlays:
            self._overlays.pop(token).remove()
        del self._known[token], self._outputs[token]

    def clear(self) -> None:
        """Forget all of them."""
        for token in list(self._known):
            self.remove(token)

    @property
    def overlays(self) -> Mapping[str, Overlay]:
        """By token, what concepts add inside the denoiser."""
        return self._overlays

    def naming(self, token: str, conditioning: Conditioning) -> tuple[tuple[int, ...], ...]:
        """Per prompt the positions, in the first text encoder that reads it, of the concept called
        `token` and its parts; empty where it is not named."""
        concept = self._known[token]
        names = {
            shown_piece(name, number)
            for name, vectors in ((token, concept.vectors), *concept.parts.items())
            for rows in vectors.values()
            for number in range(len(rows))
        }
        found = []
        for row in range(len(conditioning)):
            read = (stream.tokens[row] for stream in conditioning.streams)
            places = (tuple(p for p, text in enumerate(texts) if text in names) for texts in read)
            found.append(next((own for own in places if own), ()))
        return tuple(found)

    @property
    def edit(self) -> EditFunction | None:
        """Puts learnt outputs in place; None where no concept has any."""
        return self._put_outputs if any(self._outputs.values()) else None

    def _put_outputs(self, conditioning: Conditioning) -> Edit:
        touched = [False] * len(conditioning)
        streams = []
        for stream in conditioning.streams:
            edited = stream
            for token, outputs in self._outputs.items():
                rows = outputs.get(stream.name)
                if rows is not None:
                    found = spots_of(stream, token, len(rows))
                    touched = [was or bool(now) for was, now in zip(touched, found, strict=True)]
                    edited = with_outputs(edited, token, rows)
            streams.append(edited)
        return Edit(
            conditioning.replace(*streams),
            tuple(Window() if found else None for found in touched),
            tuple(Trace("concepts", False, Window() if found else None) for found in touched),
        )

    def _places(self, concept: Concept, encoders: Mapping[str, str]) -> dict[str, str]:
        """Per stream of the concept the text encoder here that it was learnt for."""
        places: dict[str, str] = {}
        for stream, rows in concept.vectors.items():
            for name in sorted(encoders, key=lambda n: n != stream):
                encoder = getattr(self._adapter.pipe, name)
                if name not in places.values() and _fits(concept, stream, rows, encoder):
                    places[stream] = name
                    break
        if not places or (len(places) < len(concept.vectors) and not concept.said):
            learnt = ", ".join(f"{n} [{r.shape[1]} wide]" for n, r in concept.vectors.items())
            raise ConfigError(
                f"the concept {concept.token!r} was learnt for {learnt} of "
                f"{concept.origin.get('model', 'another model')}; this "
                f"{type(self._adapter.pipe).__name__} has {self._described(encoders)}. Learn it "
                f"again with this model, or load the one it was learnt for."
            )
        return places

    def _described(self, encoders: Mapping[str, str]) -> str:
        described = []
        for name in encoders:
            encoder = getattr(self._adapter.pipe, name)
            width = encoder.get_input_embeddings().weight.shape[1]
            described.append(f"{name} [{type(encoder).__name__}, {width} wide]")
        return ", ".join(described)


def spots_of(stream: TextStream, token: str, count: int) -> list[list[tuple[int, int]]]:
    """Per prompt where the `count` vectors of a placeholder stand: position and number of each.

    Empty where the prompt does not name it or was cut off before; several times where the prompt
    names it several times.
    """
    numbers = {shown_piece(token, number): number for number in range(count)}
    return [
        [(place, numbers[text]) for place, text in enumerate(tokens) if text in numbers]
        for tokens in stream.tokens
    ]


def with_outputs(stream: TextStream, token: str, rows: Tensor) -> TextStream:
    """The stream with `rows` `[count, dim]` at the placeholder's positions, and with gradients
    where they have them."""
    rows = rows.to(stream.embeds.device, stream.embeds.dtype)
    embeds = []
    for states, spots in zip(stream.embeds, spots_of(stream, token, len(rows)), strict=True):
        places, numbers = torch.tensor(spots, dtype=torch.long, device=rows.device).view(-1, 2).T
        embeds.append(states.index_copy(0, places, rows[numbers]))
    return stream.replace(embeds=torch.stack(embeds))


def mark(encoder: Any) -> tuple[float, ...]:
    """Figures of an encoder's embedding table that tell it from others of the same width."""
    table: Tensor = encoder.get_input_embeddings().weight.detach()
    rows = torch.linspace(0, len(table) - 1, _ROWS).long()
    return tuple(table[rows, :_COLUMNS].float().flatten().tolist())


def _fits(concept: Concept, stream: str, rows: Tensor, encoder: Any) -> bool:
    table = encoder.get_input_embeddings().weight
    if table.shape[1] != rows.shape[1]:
        return False
    expected = concept.marks.get(stream)
    if expected is None:
        return True
    found = torch.tensor(mark(encoder))
    apart = (found - torch.tensor(list(expected))).abs().max()
    return bool(apart <= _TOLERANCE * found.std())
