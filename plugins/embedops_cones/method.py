"""ConES, concept embedding search (arXiv 2305.18993)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from embedops.concepts import Concept
from embedops.errors import ConfigError
from embedops.families import Bundle
from embedops.learning.method import PLACEHOLDER, Method, MethodConfig, Run, Task
from embedops.learning.rows import RowsRun, rows_of_words
from embedops.placed import spots_of, with_outputs
from embedops.streams import Conditioning, TextStream


class ConesConfig(MethodConfig):
    """Settings of ConES. How many vectors, where they stand and the recipe are ours.

    Attributes:
        init: words for what the pictures show; what the encoder says of them is the start.
        steps: optimiser steps.
    """

    init: str = "object"
    steps: int = 500


class Cones(Method[ConesConfig]):
    """Learns what the denoiser reads at the placeholder's positions, with no text encoder in the
    loop.

    Each prompt is encoded once, with `init` in the placeholder's place; the learnt vectors then
    take its positions. The paper gives the idea and the gain; number of vectors, placement, start
    and recipe are a reconstruction. Positions after the placeholder and pooled vectors keep what
    the encoder made of `init`. An encoder of which the denoiser reads a pooled vector alone has no
    positions to learn at: it goes on saying `init`, and the log says so.
    """

    name: ClassVar[str] = "cones"
    Config: ClassVar[type[MethodConfig]] = ConesConfig

    def begin(self, task: Task) -> Run:
        rows = rows_of_words(task, self.config.init, self.config.vectors)
        inner = RowsRun(task, rows, said=self.config.init)
        try:
            return ConesRun(task, inner, self.config)
        except BaseException:
            inner.close()
            raise


class ConesRun(Run):
    """Output vectors on their way.

    They reach the denoiser as a session lets it read a finished concept: put into the encoders'
    streams, of which the pipeline's adapter makes what the denoiser reads.

    Args:
        task: what is learnt.
        inner: holds the rows that the encoders read meanwhile; they are not learnt.
        config: the settings; the states at the placeholder of its first template are the start.

    Raises:
        ConfigError: an encoder does not read as far as the placeholder in that template.
    """

    def __init__(self, task: Task, inner: RowsRun, config: ConesConfig) -> None:
        self._task, self._inner = task, inner
        self._known: dict[str, Conditioning] = {}
        text = config.templates[0].replace(PLACEHOLDER, task.token)
        with torch.no_grad():
            self._inputs = inner.read([text], [0])
        start = self._encoded(text)
        read = self._read_by_position(start)
        self._vectors = {
            stream.name: nn.Parameter(_start(stream, task.token, config.vectors))
            for stream in start.streams
            if stream.name in read
        }
        self.notes = tuple(
            f"The denoiser reads one vector of {stream.name}, which has no positions; it keeps "
            f"what {stream.name} says of {config.init!r}."
            for stream in start.streams
            if stream.name not in read
        )

    def parameters(self) -> Mapping[str, nn.Parameter]:
        return self._vectors

    def read(self, texts: Sequence[str], pictures: Sequence[int]) -> Bundle:
        bundles = []
        for text in texts:
            plain = self._encoded(text)
            placed = [
                with_outputs(plain.stream(name), self._task.token, vectors)
                for name, vectors in self._vectors.items()
            ]
            bundles.append(self._bundle(plain.replace(*placed)))
        return {key: torch.cat([bundle[key] for bundle in bundles]) for key in bundles[0]}

    def concept(self, origin: Mapping[str, str]) -> Concept:
        outputs = {name: rows.detach().cpu().clone() for name, rows in self._vectors.items()}
        return replace(self._inner.concept(origin), outputs=outputs)

    def close(self) -> None:
        self._inner.close()

    def _encoded(self, text: str) -> Conditioning:
        if text not in self._known:
            self._known[text] = self._task.adapter.encoder().encode([text])
        return self._known[text]

    def _bundle(self, conditioning: Conditioning) -> dict[str, Tensor]:
        bundle = self._task.adapter.bundle(conditioning, self._inputs)
        return {key: value for key, value in bundle.items() if isinstance(value, Tensor)}

    def _read_by_position(self, conditioning: Conditioning) -> set[str]:
        """The encoders whose states, and not a pooled vector alone, reach the denoiser."""
        states = {s.name: s.embeds.detach().requires_grad_() for s in conditioning.streams}
        traced = [s.replace(embeds=states[s.name]) for s in conditioning.streams]
        bundle = self._bundle(conditioning.replace(*traced))
        total = torch.stack([value.sum() for value in bundle.values()]).sum()
        slopes = torch.autograd.grad(total, list(states.values()), allow_unused=True)
        return {name for name, slope in zip(states, slopes, strict=True) if slope is not None}


def _start(stream: TextStream, token: str, count: int) -> Tensor:
    """The states `[count, dim]` at a placeholder that the stream's one prompt names."""
    first: dict[int, int] = {}
    for place, number in spots_of(stream, token, count)[0]:
        first.setdefault(number, place)
    if len(first) < count:
        raise ConfigError(
            f"{stream.name} reads {len(first)} of the placeholder's {count} vectors in the first "
            f"template, which is too long for it. Shorten the template, or lower `vectors`."
        )
    return stream.embeds[0, [first[number] for number in range(count)]].float().clone()
