"""The text side alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from embedops.encoders import Encoder
from embedops.extension import AnyPlugin, as_plugins
from embedops.families import adapter_for
from embedops.reports import Verdict
from embedops.resolve import resolve


def screen(
    pipe: Any, prompts: str | Sequence[str], plugin: AnyPlugin | Sequence[AnyPlugin]
) -> list[Verdict]:
    """The text side alone: what a plugin, or a stack of them, makes of prompts. Draws nothing.

    Raises:
        UnsupportedPipelineError: no adapter knows the pipeline's class.
        GuardError: an embedding cannot be examined, such as one that holds NaN.
    """
    given = [prompts] if isinstance(prompts, str) else list(prompts)
    if not given:
        return []
    stack = as_plugins(plugin if isinstance(plugin, Sequence) else [plugin])
    encoder: Encoder = adapter_for(pipe).encoder()
    return list(resolve(stack, encoder.encode(given), encoder)[1])
