"""The DECOR plugin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor

from embedops.edits import Edit, TokenTrace, Trace, Window
from embedops.encoders import Encoder
from embedops.extension import Plugin, PluginConfig
from embedops.presets import ConceptConfig
from embedops.streams import Conditioning, Role, TextStream
from embedops.subspace import Subspace
from embedops_decor.unwanted import pooled_subspaces, unwanted_subspaces

Position = Literal["words", "end", "pad"]

_ROLES: dict[Position, Role] = {"words": Role.CONTENT, "end": Role.END, "pad": Role.PAD}


class DecorConfig(ConceptConfig):
    """Settings of DECOR.

    The paper gives the projection; strength, rank, positions, template and centring are ours to
    choose, and their defaults were chosen by measurement.
    """

    strength: float = Field(1.0, ge=0.0, le=2.0, description="α: 0 leaves all, 1 projects fully")
    rank: int | None = Field(None, ge=1, description="dominant directions to remove; all if unset")
    positions: tuple[Position, ...] = Field(
        ("words", "end", "pad"), description="which positions are projected"
    )
    template: str = Field("a photo of {}", description="the prompt in which phrases are read")
    neutral: str | None = Field(
        "thing", description="the word that phrases are centred on; unset as published"
    )
    start: float = Field(0.0, ge=0.0, lt=1.0, description="where in the schedule it begins")
    stop: float = Field(1.0, gt=0.0, le=1.0, description="where in the schedule it ends")

    @field_validator("positions", mode="before")
    @classmethod
    def _one_is_many(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("template")
    @classmethod
    def _has_one_slot(cls, value: str) -> str:
        if value.count("{}") != 1:
            raise ValueError("a template needs exactly one {} where the phrase goes")
        return value


class Decor(Plugin[DecorConfig]):
    """Projects a prompt's embeddings away from unwanted words (DECOR, arXiv 2412.09169).

    `X' = X − α X P` with `P` the projector on the span of the unwanted words' contextual
    embeddings. It is no detector: it edits every prompt, and flags none. The trace gives for each
    content token the share of its norm that lies in the unwanted subspace.
    """

    name: ClassVar[str] = "decor"
    Config: ClassVar[type[PluginConfig]] = DecorConfig

    def edit(self, conditioning: Conditioning, encoder: Encoder) -> Edit:
        config = self.config
        phrases = config.wanted(encoder.presets)
        count = len(conditioning)
        if not phrases or config.strength == 0.0:
            note = "strength is 0" if phrases else "no unwanted phrases were given"
            idle = tuple(Trace(self.name, False, None, notes=(note,)) for _ in range(count))
            return Edit(conditioning, (None,) * count, idle)
        settings = (phrases, config.template, config.neutral, config.rank)
        spaces = unwanted_subspaces(encoder, *settings)
        pooled_spaces: dict[str, Subspace] = {}
        if any(stream.pooled_read for stream in conditioning.streams):
            pooled_spaces = pooled_subspaces(encoder, *settings)
        streams = tuple(
            self._edited(stream, spaces[stream.name], pooled_spaces.get(stream.name))
            for stream in conditioning.streams
        )
        window = Window(config.start, config.stop)
        traces = tuple(
            Trace(
                self.name,
                flagged=False,
                window=window,
                tokens=tuple(
                    token
                    for stream in conditioning.streams
                    for token in _shares(stream, row, spaces[stream.name])
                ),
                values={f"rank.{name}": float(space.rank) for name, space in spaces.items()},
            )
            for row in range(count)
        )
        return Edit(conditioning.replace(*streams), (window,) * count, traces)

    def _edited(self, stream: TextStream, space: Subspace, pooled: Subspace | None) -> TextStream:
        roles = [_ROLES[position] for position in self.config.positions]
        where = torch.isin(stream.roles, torch.tensor(roles, dtype=stream.roles.dtype))
        where = where.to(stream.embeds.device)[..., None]
        removed = self._without(stream.embeds, space)
        return stream.replace(
            embeds=torch.where(where, removed, stream.embeds),
            pooled=None
            if stream.pooled is None or pooled is None or not stream.pooled_read
            else self._without(stream.pooled, pooled),
        )

    def _without(self, x: Tensor, space: Subspace) -> Tensor:
        inside = space.project(x.float())
        return (x.float() - self.config.strength * inside).to(x.dtype)


def _shares(stream: TextStream, row: int, space: Subspace) -> Sequence[TokenTrace]:
    positions = stream.positions(row, Role.CONTENT)
    own = stream.embeds[row, positions].float()
    lengths = torch.linalg.vector_norm(own, dim=-1).clamp_min(1e-12)
    shares = (torch.linalg.vector_norm(space.project(own), dim=-1) / lengths).tolist()
    return [
        TokenTrace(stream.tokens[row][position], stream.name, position, share, 0.0, False)
        for position, share in zip(positions, shares, strict=True)
    ]
