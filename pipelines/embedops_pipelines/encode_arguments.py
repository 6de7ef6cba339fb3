"""What the arguments of a pipeline's `encode_prompt` mean, by their names."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

SLOTS = ("prompt", "prompt_2", "prompt_3", "prompt_4")
"""Where pipelines with several text encoders take the text of each."""

PROMPT_BREAK = "\x03"
"""Stands between the texts of one row where its encoders are given different ones: the row is
examined and rewritten as one text."""


def given_texts(
    arguments: Mapping[str, Any],
    side: str = "",
    *,
    default: str | None = None,
    rows: int = 1,
) -> list[str] | None:
    """What a call of `encode_prompt` is to encode, one text a row; None for ready embeddings.

    Args:
        arguments: the call's.
        side: `""` or `"negative_"`.
        default: stands in where no text was given.
        rows: what a single text is repeated to.
    """
    names = [f"{side}{slot}" for slot in SLOTS]
    for name, value in arguments.items():
        if value is not None and is_ready(name) and name.startswith("negative_") == bool(side):
            return None
    first = arguments.get(names[0])
    if first is None:
        first = default
    if first is None:
        return None
    columns = [first, *(arguments.get(name) or first for name in names[1:])]
    lists = [[c] * rows if isinstance(c, str) else list(c) for c in columns]
    return [
        texts[0] if len(set(texts)) == 1 else PROMPT_BREAK.join(texts)
        for texts in zip(*lists, strict=True)
    ]


def images_of(arguments: Mapping[str, Any]) -> int:
    """Pictures or videos for each prompt of a call."""
    for name in ("num_images_per_prompt", "num_videos_per_prompt"):
        if arguments.get(name) is not None:
            return int(arguments[name])
    return 1


def call_defaults(
    call: Callable[..., object], encode_prompt: Callable[..., object]
) -> dict[str, Any]:
    """What a pipeline's call passes to `encode_prompt` where its user says nothing, such as the
    instruction before a text: the defaults of the two differ in places.

    Args:
        call: the pipeline class's `__call__`.
        encode_prompt: its `encode_prompt`.
    """
    taken = inspect.signature(encode_prompt).parameters
    return {
        name: parameter.default
        for name, parameter in inspect.signature(call).parameters.items()
        if name in taken
        and parameter.default is not parameter.empty
        and name not in SLOTS
        and not name.startswith(("negative_", "num_"))
        and not is_ready(name)
    }


def is_ready(name: str) -> bool:
    """Whether an argument of `encode_prompt` takes something that is encoded already."""
    return "embeds" in name or name.endswith("mask")


def share_of(text: str, number: int) -> str:
    """What the encoder of a slot is given of a row's text."""
    shares = text.split(PROMPT_BREAK)
    return shares[min(number, len(shares) - 1)]
