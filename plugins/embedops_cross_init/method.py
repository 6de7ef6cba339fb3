"""Cross Initialization (arXiv 2312.15905, CVPR 2024)."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from embedops.errors import ConfigError
from embedops.learning.method import Method, MethodConfig, Run, Task
from embedops.learning.rows import RowsRun, encoded_rows, rows_of_words

_LARGEST = 300.0
"""How many times longer than a vocabulary row E(v̄) may be: CLIP's is some 70 times as long."""


class CrossInitConfig(MethodConfig):
    """Settings of Cross Initialization; the defaults are the paper's, 25 steps are its fast recipe.

    Attributes:
        init: words for what the pictures show; their rows are v̄.
        names: many names of such things instead, whose rows are averaged place by place.
        pull: λ, the weight of the mean distance to E(v̄) in the loss.
        vectors: pseudo-tokens.
        steps: optimiser steps: 320, or 25 for the fast recipe.
        batch: pictures a step.
    """

    init: str = "object"
    names: tuple[str, ...] = ()
    pull: float = Field(default=1e-5, ge=0)
    vectors: int = Field(default=2, ge=1, le=16)
    steps: int = Field(default=320, ge=1)
    batch: int = Field(default=8, ge=1)


class CrossInit(Method[CrossInitConfig]):
    """Learns embedding vectors from E(v̄), the text encoder's output, as the input to start from.

    Learned embeddings end far longer than the vocabulary's; E(v̄) is as long. The loss adds
    `λ · mean ‖v − v_init‖₂`, not squared. Where an encoder's output is of another scale altogether,
    as language models' are, it is scaled to the vocabulary's length, which is ours, and the log
    says so.
    """

    name: ClassVar[str] = "cross-init"
    Config: ClassVar[type[MethodConfig]] = CrossInitConfig

    def begin(self, task: Task) -> Run:
        config = self.config
        mean = self._mean_rows(task)
        start: dict[str, Tensor] = {}
        notes = []
        for name, rows in encoded_rows(task, mean).items():
            encoder = getattr(task.pipe, name)
            table = encoder.get_input_embeddings().weight.detach().float()
            usual = float(table.norm(dim=1).median())
            length = float(rows.norm(dim=1).mean())
            start[name] = rows
            if not usual <= length <= _LARGEST * usual:
                start[name] = rows * (usual / length)
                notes.append(
                    f"{name}'s output is {length / usual:.3g} times as long as its vocabulary's "
                    f"rows; E(v̄) was scaled to their length."
                )
        return RowsRun(task, start, config.pull, config.init, notes)

    def _mean_rows(self, task: Task) -> dict[str, Tensor]:
        """v̄: per text encoder `[vectors, dim]`."""
        config = self.config
        if not config.names:
            return rows_of_words(task, config.init, config.vectors)
        each = [rows_of_words(task, name, config.vectors) for name in config.names]
        if len(each) < 2:
            raise ConfigError("one name has no mean. Give several in `names`, or words in `init`.")
        return {n: torch.stack([rows[n] for rows in each]).mean(0) for n in each[0]}
