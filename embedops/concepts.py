"""Learned concepts as values: scaled, added, compared, saved and loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from embedops.errors import ConfigError

Vectors = Mapping[str, Tensor]
"""Per text encoder (its component's name) float32 `[count, dim]`."""


@dataclass(frozen=True, eq=False)
class Concept:
    """A learned thing: vectors that stand for a placeholder token.

    Attributes:
        token: the placeholder, such as `"<teapot>"`.
        vectors: the rows of the embedding table that the placeholder reads as.
        origin: where it came from, as text: method, base model, seed, versions.
        outputs: for methods that learn behind the text encoder, what the denoiser reads at the
            placeholder's positions; empty for all others.
        said: what text encoders without vectors read in the placeholder's place.
        marks: per text encoder some figures of its embedding table, which tell it from others
            of the same width.
        parts: further placeholders that were learnt with this one, by token, such as the pose of
            a training picture.
        overlay: what layers of the denoiser add at the tokens that name the concept or its parts;
            see `embedops.overlay.Weights`. Empty for methods that leave the denoiser alone.
    """

    token: str
    vectors: Vectors
    origin: Mapping[str, str] = field(default_factory=dict)
    outputs: Vectors = field(default_factory=dict)
    said: str = ""
    marks: Mapping[str, Sequence[float]] = field(default_factory=dict)
    parts: Mapping[str, Vectors] = field(default_factory=dict)
    overlay: Vectors = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.token.strip() or not self.vectors:
            raise ConfigError("a concept needs a placeholder token and at least one stream.")
        for token, vectors in (
            (self.token, self.vectors),
            (self.token, self.outputs),
            *self.parts.items(),
        ):
            for name, rows in vectors.items():
                if rows.ndim != 2 or not len(rows) or not bool(torch.isfinite(rows).all()):
                    raise ConfigError(
                        f"concept {token!r}, stream {name!r}: expected finite vectors "
                        f"[count, dim], got shape {tuple(rows.shape)}."
                    )
        broken = [n for n, t in self.overlay.items() if not bool(torch.isfinite(t).all())]
        if broken:
            raise ConfigError(f"concept {self.token!r}: {broken[0]!r} holds NaN or infinity.")
        for name, rows in self.outputs.items():
            if name not in self.vectors or len(self.vectors[name]) != len(rows):
                raise ConfigError(
                    f"concept {self.token!r} has {len(rows)} output vectors for {name!r}, which "
                    f"need as many rows in `vectors` to stand at."
                )

    @property
    def vectors_per_prompt(self) -> int:
        """Tokens that the placeholder takes in a prompt."""
        return max(len(rows) for rows in self.vectors.values())

    def save(self, path: str | Path) -> Path:
        """Write the concept as safetensors; see `embedops.concept_files`.

        Raises:
            ConfigError: it cannot be written; an older file stays as it was.
        """
        from embedops.concept_files import save

        return save(self, Path(path))

    @classmethod
    def load(cls, path: str | Path, token: str | None = None) -> Concept:
        """Read a concept, or an embedding file of diffusers, A1111 or kohya.

        Args:
            path: `.safetensors`, or `.bin` and `.pt`, which are read as tensors alone.
            token: the placeholder; the file's own unless given.

        Raises:
            ConfigError: the file holds no embedding, or is of a newer format.
        """
        from embedops.concept_files import load

        return load(Path(path), token)

    def part(self, token: str) -> Concept:
        """One of the `parts` as a concept of its own, of vectors alone.

        Raises:
            ConfigError: there is no such part.
        """
        if token not in self.parts:
            known = ", ".join(self.parts) or "none"
            raise ConfigError(f"concept {self.token!r} has no part {token!r}; it has: {known}.")
        return replace(self.subject(), token=token, vectors=self.parts[token])

    def subject(self) -> Concept:
        """The concept's own vectors alone, without parts, outputs and overlay: what other tools'
        embedding files can carry."""
        return replace(self, outputs={}, parts={}, overlay={})

    def norms(self) -> dict[str, tuple[float, ...]]:
        """Per stream the length of each vector."""
        return {n: tuple(rows.norm(dim=1).tolist()) for n, rows in self.vectors.items()}

    def __repr__(self) -> str:
        sizes = {n: list(rows.shape) for n, rows in self.vectors.items()}
        behind = ", behind the encoder" if self.outputs else ""
        parts = f", parts {', '.join(self.parts)}" if self.parts else ""
        inside = f", overlay of {len(self.overlay)} matrices" if self.overlay else ""
        return f"<Concept {self.token!r} {sizes}{behind}{parts}{inside}>"

    def __mul__(self, scale: float) -> Concept:
        return self._with({n: rows * scale for n, rows in self.vectors.items()}, scale)

    __rmul__ = __mul__

    def _with(self, vectors: Vectors, scale: float) -> Concept:
        outputs = {n: rows * scale for n, rows in self.outputs.items()}
        parts = {t: {n: rows * scale for n, rows in v.items()} for t, v in self.parts.items()}
        # Of a pair of factors one is scaled.
        overlay = {n: t if n.endswith(".down") else t * scale for n, t in self.overlay.items()}
        return replace(self, vectors=vectors, outputs=outputs, parts=parts, overlay=overlay)

    def __add__(self, other: Concept) -> Concept:
        self._check_same_shape(other)
        if self.parts or other.parts or self.overlay or other.overlay:
            raise ConfigError(
                "concepts with parts or an overlay cannot be added; add their vectors: "
                "concept.subject() + other.subject(), or concept.part(token)."
            )
        return replace(
            self,
            vectors={name: rows + other.vectors[name] for name, rows in self.vectors.items()},
            outputs={name: rows + other.outputs[name] for name, rows in self.outputs.items()},
        )

    def __sub__(self, other: Concept) -> Concept:
        return self + other * -1.0

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Concept):
            return NotImplemented
        return (
            self.token == other.token
            and _same(self.vectors, other.vectors)
            and _same(self.outputs, other.outputs)
            and self.parts.keys() == other.parts.keys()
            and all(_same(rows, other.parts[token]) for token, rows in self.parts.items())
            and _same(self.overlay, other.overlay)
        )

    __hash__ = None  # type: ignore[assignment]  # tensors have no stable hash

    def similarity(self, other: Concept) -> dict[str, float]:
        """Per stream the cosine between the mean vectors."""
        self._check_same_shape(other)
        return {
            name: float(torch.cosine_similarity(rows.mean(0), other.vectors[name].mean(0), dim=0))
            for name, rows in self.vectors.items()
        }

    def _check_same_shape(self, other: Concept) -> None:
        mine, theirs = (
            {name: tuple(rows.shape) for name, rows in (*c.vectors.items(), *c.outputs.items())}
            for c in (self, other)
        )
        if mine != theirs:
            raise ConfigError(
                f"concepts {self.token!r} and {other.token!r} have different shapes: {mine} and "
                f"{theirs}. Only concepts of the same encoders and vector counts combine."
            )


def _same(first: Vectors, second: Vectors) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(rows, second[name]) for name, rows in first.items()
    )
