"""Textual inversion (arXiv 2208.01618): the baseline that people know."""

from __future__ import annotations

from typing import ClassVar

from embedops.learning.method import Method, MethodConfig, Run, Task
from embedops.learning.rows import RowsRun, rows_of_words


class TextualInversionConfig(MethodConfig):
    """Settings of textual inversion.

    Attributes:
        init: a word for what the pictures show; its row is where learning starts.
        steps: optimiser steps.
    """

    init: str = "object"
    steps: int = 3000


class TextualInversion(Method[TextualInversionConfig]):
    """Learns embedding vectors that stand for what a few pictures show, from a word's row.

    The rows stand beside the vocabulary, which is no parameter: the optimiser keeps state for
    them alone.
    """

    name: ClassVar[str] = "textual-inversion"
    Config: ClassVar[type[MethodConfig]] = TextualInversionConfig

    def begin(self, task: Task) -> Run:
        start = rows_of_words(task, self.config.init, self.config.vectors)
        return RowsRun(task, start, said=self.config.init)
