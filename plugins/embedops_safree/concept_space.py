"""The concepts' subspaces of one text encoder, kept between calls."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from embedops.encoders import Encoder
from embedops.errors import GuardError
from embedops.subspace import Subspace

_KEPT = 16


@dataclass(frozen=True, eq=False)
class _Entry:
    stream: str
    vectors: Tensor
    space: Subspace


class SpanCache:
    """Remembers subspaces by the concepts' vectors, so that no change of weights goes unseen.

    Vectors are compared bit by bit with those that a basis was made for: a LoRA, another pipeline
    or another encoder gives others and gets a basis of its own. The newest few are kept. Safe to
    use from several threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: tuple[_Entry, ...] = ()

    def span(self, stream: str, vectors: Tensor, make: Callable[[], Subspace]) -> Subspace:
        """`make()`, or what it gave for the same stream and vectors before.

        Args:
            stream: which subspace of which text encoder.
            vectors: sentence vectors of the concepts, `[count, dim]`; not to be changed
                afterwards.
            make: builds the subspace.
        """
        for entry in self._entries:
            if entry.stream == stream and _same(entry.vectors, vectors):
                return entry.space
        space = make()
        with self._lock:
            self._entries = (_Entry(stream, vectors, space), *self._entries[: _KEPT - 1])
        return space


def _same(a: Tensor, b: Tensor) -> bool:
    alike = a.shape == b.shape and a.dtype == b.dtype and a.device == b.device
    return alike and torch.equal(a, b)


class Concepts:
    """The concept phrases of one call, as each text encoder understands them.

    Args:
        phrases: at least one.
        encoder: the pipeline's text encoders.
        spans: subspaces of earlier calls.
    """

    def __init__(self, phrases: Sequence[str], encoder: Encoder, spans: SpanCache) -> None:
        self._phrases = phrases
        self._encoder = encoder
        self._spans = spans
        self._vectors = encoder.pooled(phrases)

    def sentence_space(self, stream: str) -> Subspace:
        """The span of the phrases' sentence vectors, which judges and steers tokens.

        Raises:
            GuardError: the encoder gives no such vectors, or they are not finite.
        """
        if stream not in self._vectors:
            raise unanswered(stream)
        vectors = self._vectors[stream]
        return self._spans.span(stream, vectors, lambda: _span(stream, vectors))

    def pooled_space(self, stream: str) -> Subspace:
        """The span of the pooled vectors that the denoiser would read of the phrases.

        Sentence vectors may be the encoder's states, and what is read a projection of them: the
        two are different spaces, also where their widths agree.

        Raises:
            GuardError: the encoder gives no such vectors, or they are not finite.
        """
        return self._spans.span(
            f"{stream}, pooled", self._vectors[stream], lambda: self._pooled_span(stream)
        )

    def _pooled_span(self, stream: str) -> Subspace:
        pooled = self._encoder.encode(self._phrases).stream(stream).pooled
        if pooled is None:
            raise unanswered(stream)
        return _span(stream, pooled.float())


def unanswered(stream: str) -> GuardError:
    """The error for a text encoder that cannot be looked at."""
    return GuardError(
        f"{stream}: the pipeline adapter gives no sentence vectors of this text encoder, so what "
        f"it says to the denoiser cannot be judged. Extend the adapter, or use a plugin that does "
        f"not need them."
    )


def _span(stream: str, vectors: Tensor) -> Subspace:
    if not bool(torch.isfinite(vectors).all()):
        raise GuardError(
            f"{stream}: the sentence vectors of the concepts hold NaN or infinity. Half precision "
            f"overflows in some text encoders; load them in bfloat16 or float32."
        )
    return Subspace.span(vectors)
