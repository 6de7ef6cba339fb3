"""How much of some concepts an encoder hears in a word. Ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from embedops.encoders import Encoder
from embedops.errors import GuardError

VOCABULARY_SAMPLE = 1000
"""Words that calibrate a gate: the most frequent ones of a larger vocabulary."""
_AT_ONCE = 512
"""Texts per call of the encoder, which bounds the memory that a long prompt takes."""
_ARTICLES = frozenset(("a", "an", "the"))


@dataclass(frozen=True)
class Presence:
    """What one text encoder hears of the concepts in one text.

    Attributes:
        stream: the encoder.
        score: largest cosine between the text and a concept, both centred.
        threshold: what the encoder's own vocabulary calibrates the score against.
    """

    stream: str
    score: float
    threshold: float

    @property
    def triggered(self) -> bool:
        return self.score > self.threshold


@dataclass(frozen=True, eq=False)
class _Space:
    """One encoder's calibration: centre `[dim]`, unit concept vectors `[k, dim]`, threshold."""

    stream: str
    centre: Tensor
    concepts: Tensor
    threshold: float

    def scores(self, pooled: Tensor) -> Tensor:
        """The largest centred cosine of each row of `pooled` `[n, dim]` with a concept: `[n]`."""
        return (_unit(pooled - self.centre) @ self.concepts.T).amax(1)


class PresenceMeter:
    """Measures the presence of some concepts in words, calibrated on the encoder's vocabulary.

    With `p(x)` the encoder's pooled vector of "a photo of a x" and `m` its mean over the
    vocabulary, the presence of a word `w` is `max_c cos(p(w) − m, p(c) − m)` over the concept
    phrases `c`. Subtracting `m` removes what every sentence of that form shares. The threshold is
    `q + margin · (1 − q)`, where `q` is the quantile of the presence over the vocabulary and 1
    the presence of a concept phrase itself. So it follows the encoder: where unrelated words lie
    near the concepts it is high, where they lie far off it is low; and as long as fewer words of
    the vocabulary belong to the concepts than lie above the quantile, it does not depend on how
    many do.

    Nothing is kept between calls but what `Encoder.pooled` caches by weights and text, so that a
    change of the weights calibrates anew.
    """

    def __init__(
        self, encoder: Encoder, phrases: Sequence[str], *, quantile: float, margin: float
    ) -> None:
        """
        Raises:
            GuardError: the encoder has no vocabulary to calibrate on, gives NaN or infinity, or
                gives every text the same vector.
        """
        self._encoder = encoder
        self.vocabulary = encoder.vocabulary()
        if not self.vocabulary:
            raise GuardError(
                "the text encoder names no whole words as its vocabulary, so the gate cannot be "
                "calibrated. The pipeline's adapter must list them in Encoder.vocabulary()."
            )
        words = self.vocabulary[:VOCABULARY_SAMPLE]
        concepts = self._pooled(phrases)
        spaces = []
        for stream, pooled in self._pooled(words).items():
            centre = pooled.mean(0)
            if not bool(((pooled - centre).abs() > 1e-4 * (1.0 + centre.abs())).any()):
                raise GuardError(
                    f"text encoder {stream!r} gives every word the same pooled vector, so nothing "
                    f"can be told apart. Check how it pools (the id of its end token)."
                )
            directions = _unit(concepts[stream] - centre)
            space = _Space(stream, centre, directions, 0.0)
            usual = float(space.scores(pooled).quantile(quantile))
            threshold = usual + margin * (1.0 - usual)
            spaces.append(_Space(stream, centre, directions, threshold))
        self._spaces = tuple(spaces)

    @property
    def thresholds(self) -> Mapping[str, float]:
        """The threshold of each text encoder."""
        return {space.stream: space.threshold for space in self._spaces}

    def __call__(self, texts: Sequence[str]) -> dict[str, Presence]:
        """The presence in each of some words or short phrases.

        Every text encoder is asked; what is returned is the one furthest above its threshold, or
        nearest below it.

        Raises:
            GuardError: a pooled vector holds NaN or infinity.
        """
        asked = list(dict.fromkeys(texts))
        if not asked:
            return {}
        pooled = self._pooled(asked)
        scores = {s.stream: s.scores(pooled[s.stream]).tolist() for s in self._spaces}
        return {
            text: max(
                (Presence(s.stream, scores[s.stream][i], s.threshold) for s in self._spaces),
                key=lambda presence: presence.score - presence.threshold,
            )
            for i, text in enumerate(asked)
        }

    def _pooled(self, texts: Sequence[str]) -> dict[str, Tensor]:
        sentences = [in_sentence(text) for text in texts]
        parts: dict[str, list[Tensor]] = {}
        for first in range(0, len(sentences), _AT_ONCE):
            for stream, rows in self._encoder.pooled(sentences[first : first + _AT_ONCE]).items():
                parts.setdefault(stream, []).append(rows)
        if not parts:
            raise GuardError(
                "the pipeline names no text encoder with a pooled vector, so prompts cannot be "
                "examined. The pipeline's adapter must answer Encoder.pooled()."
            )
        pooled = {stream: torch.cat(rows).float() for stream, rows in parts.items()}
        for stream, rows in pooled.items():
            if not bool(torch.isfinite(rows).all()):
                raise GuardError(
                    f"text encoder {stream!r} gives NaN or infinity, so prompts cannot be "
                    f"examined. Half precision overflows in some encoders; load it in bfloat16 or "
                    f"float32."
                )
        return pooled


def in_sentence(text: str) -> str:
    """The sentence in which a word or phrase is examined."""
    first, *_ = text.split(None, 1) or [""]
    has_article = first.casefold() in _ARTICLES
    return f"a photo of {text}" if has_article else f"a photo of a {text}"


def _unit(rows: Tensor) -> Tensor:
    return torch.nn.functional.normalize(rows, dim=1)
