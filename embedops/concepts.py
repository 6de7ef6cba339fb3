"""Learned concepts as values: saved, loaded, scaled, added and compared."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from embedops.errors import ConfigError

_FORMAT = "1"


@dataclass(frozen=True, eq=False)
class Concept:
    """A learned thing: input embeddings that stand for a placeholder token.

    Attributes:
        token: the placeholder, such as `"<teapot>"`.
        vectors: per text encoder float32 `[count, dim]`, the rows that replace the placeholder.
        origin: where it came from, as text: method, base model, seed, versions.
    """

    token: str
    vectors: Mapping[str, Tensor]
    origin: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.token.strip() or not self.vectors:
            raise ConfigError("a concept needs a placeholder token and at least one stream.")
        for name, rows in self.vectors.items():
            if rows.ndim != 2 or not bool(torch.isfinite(rows).all()):
                raise ConfigError(
                    f"concept {self.token!r}, stream {name!r}: expected finite vectors "
                    f"[count, dim], got shape {tuple(rows.shape)}."
                )

    def save(self, path: str | Path) -> Path:
        """Write the concept as safetensors.

        With one stream the file is what diffusers' `load_textual_inversion` reads: one tensor
        named like the token. With several, one tensor per stream.
        """
        path = Path(path)
        if len(self.vectors) == 1:
            tensors = {self.token: next(iter(self.vectors.values())).contiguous()}
        else:
            tensors = {name: rows.contiguous() for name, rows in self.vectors.items()}
        about = {
            "format": "pt",
            "embedops.format": _FORMAT,
            "embedops.token": self.token,
            "embedops.streams": json.dumps(list(self.vectors)),
            "embedops.origin": json.dumps(dict(self.origin)),
        }
        save_file(tensors, path, metadata=about)
        return path

    @classmethod
    def load(cls, path: str | Path) -> Concept:
        """Read a concept that `save` wrote.

        Raises:
            ConfigError: the file is no concept, or of a newer format.
        """
        try:
            with safe_open(path, framework="pt") as file:
                about = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise ConfigError(f"{path} cannot be read as safetensors: {error}.") from error
        if about.get("embedops.format") != _FORMAT:
            raise ConfigError(
                f"{path} is no concept of format {_FORMAT}: its metadata says "
                f"{about.get('embedops.format')!r}. It may come from another tool or version."
            )
        token, streams = about["embedops.token"], json.loads(about["embedops.streams"])
        vectors = {streams[0]: tensors[token]} if len(streams) == 1 else tensors
        return cls(token, vectors, json.loads(about["embedops.origin"]))

    def __mul__(self, scale: float) -> Concept:
        return replace(self, vectors={name: rows * scale for name, rows in self.vectors.items()})

    __rmul__ = __mul__

    def __add__(self, other: Concept) -> Concept:
        self._check_same_shape(other)
        return replace(
            self, vectors={name: rows + other.vectors[name] for name, rows in self.vectors.items()}
        )

    def __sub__(self, other: Concept) -> Concept:
        return self + other * -1.0

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Concept):
            return NotImplemented
        return (
            self.token == other.token
            and self.vectors.keys() == other.vectors.keys()
            and all(torch.equal(rows, other.vectors[name]) for name, rows in self.vectors.items())
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
        mine = {name: tuple(rows.shape) for name, rows in self.vectors.items()}
        theirs = {name: tuple(rows.shape) for name, rows in other.vectors.items()}
        if mine != theirs:
            raise ConfigError(
                f"concepts {self.token!r} and {other.token!r} have different shapes: {mine} and "
                f"{theirs}. Only concepts of the same encoders and vector counts combine."
            )
