"""Latte: one T5 encoder, guidance in one batch."""

from __future__ import annotations

from typing import ClassVar

from embedops_pipelines.single_encoder import SingleEncoder


class Latte(SingleEncoder):
    """Text-to-video pipelines of Latte.

    The transformer gets no mask. A prompt alone is cut to its own tokens; prompts together are
    padded to 120 with zeros. So the length that a prompt is read at depends on its company, and a
    prompt alone can only be replaced by one of as many tokens.
    """

    family: ClassVar[str] = "latte"
    pipelines: ClassVar[tuple[str, ...]] = ("LattePipeline",)
    denoisers: ClassVar[tuple[str, ...]] = ("transformer",)
    returns: ClassVar[tuple[str, ...]] = ("embeds", "negative_embeds")
