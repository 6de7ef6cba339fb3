"""Learning input embeddings: rows beside the vocabulary, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from embedops.concepts import Concept, Vectors
from embedops.errors import ConfigError
from embedops.families import Bundle
from embedops.learning.method import Run, Task
from embedops.placed import mark
from embedops.placeholders import Placeholders, speller


class RowsRun(Run):
    """Rows that the text encoders read at the placeholder, from a start that the method chose.

    Args:
        task: what is learnt.
        start: per text encoder the rows to start from, `[count, dim]`.
        pull: weight of the mean distance to the start in the loss, λ of Cross Initialization.
        said: what an encoder without rows would read.
        notes: sentences for the log.
    """

    def __init__(
        self,
        task: Task,
        start: Vectors,
        pull: float = 0.0,
        said: str = "",
        notes: Sequence[str] = (),
    ) -> None:
        self._task, self._pull, self._said = task, pull, said
        self.notes = tuple(notes)
        self._placeholders = Placeholders(task.pipe, task.adapter.tokenizers())
        self._placeholders.add(task.token, start)
        device = task.pipe._execution_device
        self._start = {name: rows.to(device, torch.float32) for name, rows in start.items()}
        self._rows = {name: nn.Parameter(rows.clone()) for name, rows in self._start.items()}

    def parameters(self) -> Mapping[str, nn.Parameter]:
        return self._rows

    def read(self, texts: Sequence[str], pictures: Sequence[int]) -> Bundle:
        self._placeholders.put(self._task.token, self._rows)
        return self._task.denoising.read(texts)

    def penalty(self) -> Tensor | None:
        if not self._pull:
            return None
        apart = [(rows - self._start[n]).norm(dim=1).mean() for n, rows in self._rows.items()]
        return self._pull * torch.stack(apart).mean()

    def concept(self, origin: Mapping[str, str]) -> Concept:
        return Concept(
            self._task.token,
            {name: rows.detach().cpu().clone() for name, rows in self._rows.items()},
            dict(origin),
            said=self._said,
            marks={name: mark(getattr(self._task.pipe, name)) for name in self._rows},
        )

    def close(self) -> None:
        self._placeholders.clear()


def rows_of_words(task: Task, words: str, count: int) -> dict[str, Tensor]:
    """Per text encoder the vocabulary rows of some words, `[count, dim]`: a row each where they
    are `count` tokens, else their mean.

    Raises:
        ConfigError: an encoder's vocabulary knows none of them.
    """
    found: dict[str, Tensor] = {}
    for name, spelling in task.adapter.tokenizers().items():
        encoder, tokenizer = getattr(task.pipe, name), speller(getattr(task.pipe, spelling))
        ids = list(tokenizer(words, add_special_tokens=False).input_ids)
        known = [i for i in ids if i != tokenizer.unk_token_id]
        if not known:
            raise ConfigError(
                f"{words!r} has no tokens in the vocabulary of {name}. Give words that it knows."
            )
        rows = encoder.get_input_embeddings().weight[known].detach().float()
        found[name] = rows if len(rows) == count else rows.mean(0, keepdim=True).repeat(count, 1)
    return found


@torch.no_grad()
def encoded_rows(task: Task, rows: Vectors) -> dict[str, Tensor]:
    """E(v̄): what each text encoder says, after its last norm, at the places of rows that it reads
    as a text of their own; `[count, dim]` as they are."""
    placeholders = Placeholders(task.pipe, task.adapter.tokenizers())
    placeholders.add(task.token, rows)
    try:
        return {
            name: _said_at(task.pipe, name, spelling, task.token)
            for name, spelling in task.adapter.tokenizers().items()
        }
    finally:
        placeholders.clear()


def _said_at(pipe: Any, name: str, spelling: str, token: str) -> Tensor:
    encoder, tokenizer = getattr(pipe, name), speller(getattr(pipe, spelling))
    ids = tokenizer(token, padding="max_length", truncation=True, return_tensors="pt").input_ids
    output = encoder(ids.to(encoder.device))
    last: Tensor = output.last_hidden_state
    places = ids[0] >= encoder.get_input_embeddings().weight.shape[0]
    return last[0, places.to(last.device)].float().cpu()
