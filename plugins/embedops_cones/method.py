"""ConES, concept embedding search (arXiv 2305.18993)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from embedops.concepts import Concept
from embedops.errors import UnsupportedPipelineError
from embedops.families import Bundle
from embedops.learning.method import PLACEHOLDER, Method, MethodConfig, Run, Task
from embedops.learning.rows import RowsRun, rows_of_words
from embedops.placeholders import speller

_STATES = "encoder_hidden_states"


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
    and recipe are a reconstruction. Positions after the placeholder keep what the encoder made of
    `init`.
    """

    name: ClassVar[str] = "cones"
    Config: ClassVar[type[MethodConfig]] = ConesConfig

    def begin(self, task: Task) -> Run:
        rows = rows_of_words(task, self.config.init, self.config.vectors)
        first = self.config.templates[0].replace(PLACEHOLDER, task.token)
        return ConesRun(task, RowsRun(task, rows, said=self.config.init), first)


@dataclass(frozen=True, eq=False)
class _Encoded:
    """One text, encoded once: its bundle, and per text encoder the placeholder's positions."""

    bundle: dict[str, Tensor]
    positions: dict[str, Tensor]


class ConesRun(Run):
    """Output vectors on their way.

    Args:
        task: what is learnt.
        inner: holds the rows that the encoders read meanwhile; they are not learnt.
        text: whose states at the placeholder are the start.

    Raises:
        UnsupportedPipelineError: the denoiser reads the encoders' states in another way than side
            by side.
    """

    def __init__(self, task: Task, inner: RowsRun, text: str) -> None:
        self._task, self._inner = task, inner
        self._known: dict[str, _Encoded] = {}
        widths = {
            name: int(getattr(task.pipe, name).config.hidden_size)
            for name in task.adapter.tokenizers()
        }
        ends = torch.tensor(list(widths.values())).cumsum(0).tolist()
        self._slices = {
            name: slice(end - widths[name], end) for name, end in zip(widths, ends, strict=True)
        }
        start = self._encoded(text)
        states = start.bundle.get(_STATES)
        if states is None or states.shape[-1] != ends[-1]:
            inner.close()
            raise UnsupportedPipelineError(
                f"{type(task.pipe).__name__} does not read its encoders' states side by side, so "
                f"vectors behind them cannot be learnt with it. Use cross-init."
            )
        self._vectors = {
            name: nn.Parameter(states[0, start.positions[name], part].float().clone())
            for name, part in self._slices.items()
        }

    def parameters(self) -> Mapping[str, nn.Parameter]:
        return self._vectors

    def read(self, texts: Sequence[str], pictures: Sequence[int]) -> Bundle:
        encoded = [self._encoded(text) for text in texts]
        states = torch.cat([one.bundle[_STATES] for one in encoded])
        parts = []
        for name, part in self._slices.items():
            vectors = self._vectors[name].to(states.dtype)
            rows = [
                states[row, :, part].index_copy(0, one.positions[name], vectors)
                for row, one in enumerate(encoded)
            ]
            parts.append(torch.stack(rows))
        whole: Bundle = {_STATES: torch.cat(parts, dim=-1)}
        for key in encoded[0].bundle:
            if key != _STATES:
                whole[key] = torch.cat([one.bundle[key] for one in encoded])
        return whole

    def concept(self, origin: Mapping[str, str]) -> Concept:
        outputs = {name: rows.detach().cpu().clone() for name, rows in self._vectors.items()}
        return replace(self._inner.concept(origin), outputs=outputs)

    def close(self) -> None:
        self._inner.close()

    @torch.no_grad()
    def _encoded(self, text: str) -> _Encoded:
        if text not in self._known:
            read = self._inner.read([text], [0])
            positions = {}
            for name, spelling in self._task.adapter.tokenizers().items():
                encoder = getattr(self._task.pipe, name)
                tokenizer = speller(getattr(self._task.pipe, spelling))
                ids = tokenizer(text, truncation=True, return_tensors="pt").input_ids[0]
                own = ids >= encoder.get_input_embeddings().weight.shape[0]
                positions[name] = own.nonzero().flatten().to(encoder.device)
            tensors = {key: value for key, value in read.items() if isinstance(value, Tensor)}
            self._known[text] = _Encoded(tensors, positions)
        return self._known[text]
