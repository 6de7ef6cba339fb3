"""The questions that a plugin may ask of a pipeline's text encoders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from embedops.streams import Conditioning


@dataclass(frozen=True, eq=False)
class LeaveOneOut:
    """One prompt seen by one text encoder with each of its content tokens masked in turn.

    The whole prompt is covered: what exceeds the encoder's length is examined in further windows,
    each encoded as a prompt of its own.

    Attributes:
        stream: the text encoder.
        tokens: the `n` content tokens as text.
        positions: the position of each in the stream, None where the model does not read it.
        window: the window of each token; window 0 is what the model reads.
        masked: pooled vector of the token's window with that token masked, float32 `[n, dim]`.
        whole: pooled vector of every window with nothing masked, float32 `[windows, dim]`.
    """

    stream: str
    tokens: tuple[str, ...]
    positions: tuple[int | None, ...]
    window: tuple[int, ...]
    masked: Tensor
    whole: Tensor


class Encoder(Protocol):
    """A pipeline's text encoders, with the settings of the call at hand (LoRA scale, clip skip)."""

    @property
    def presets(self) -> Mapping[str, tuple[str, ...]]:
        """Concept presets that the model itself ships, which fit its vocabulary."""

    def encode(self, texts: Sequence[str]) -> Conditioning:
        """`texts` exactly as the pipeline encodes prompts, without any plugin's edit."""

    def encode_negative(self, texts: Sequence[str]) -> Conditioning:
        """`texts` exactly as the pipeline encodes negative prompts."""

    def pooled(self, texts: Sequence[str]) -> Mapping[str, Tensor]:
        """Per stream the sentence vectors of `texts`, float32 `[len(texts), dim]`; cached.

        Raises:
            ConfigError: a text has no tokens of its own.
        """

    def leave_one_out(self, conditioning: Conditioning) -> Mapping[str, tuple[LeaveOneOut, ...]]:
        """Per stream and prompt, the pooled vectors with each content token masked in turn.

        Prompts are taken from `conditioning.prompts`.
        """

    def vocabulary(self) -> tuple[str, ...]:
        """Whole words that the first text encoder knows as one token, most frequent first."""
