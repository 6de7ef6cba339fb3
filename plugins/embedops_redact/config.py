"""Settings of counterfactual redaction."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from embedops.edits import Window
from embedops.presets import ConceptConfig


class RedactConfig(ConceptConfig):
    """How sure to be of what is redacted, and what to say instead.

    Attributes:
        quantile: share of the encoder's own vocabulary that certainly lies below the threshold.
        margin: how much further than that the threshold lies, as a share of the way to the
            concepts themselves. Higher touches fewer prompts and misses more.
        neutral: what stands in the place of a redacted word; empty to leave the word out.
        strength: 1 reads the rewritten prompt, 0 the original, between them a mixture of the two
            encodings. At 0 prompts are examined and reported and nothing is changed.
        spans: the most neighbouring words that are examined together.
        spelling: whether words that the encoder does not know are also examined as what they may
            be a disguise of: misspelt, split, glued together, in look-alike letters.
        start: fraction of the schedule at which the rewritten prompt begins to be read.
        stop: fraction of the schedule at which it ends.
    """

    quantile: float = Field(default=0.9, gt=0.0, lt=1.0)
    margin: float = Field(default=0.25, ge=0.0, lt=1.0)
    neutral: str = "object"
    strength: float = Field(default=1.0, ge=0.0, le=1.0)
    spans: int = Field(default=2, ge=1, le=8)
    spelling: bool = True
    start: float = 0.0
    stop: float = 1.0

    @model_validator(mode="after")
    def _is_a_window(self) -> Self:
        Window(self.start, self.stop)
        return self

    @property
    def window(self) -> Window:
        """The part of the schedule in which the rewritten prompt is read."""
        return Window(self.start, self.stop)
