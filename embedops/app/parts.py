"""What each part of a text encoder's output contributes to a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from embedops.edits import Edit, Trace, Window
from embedops.encoders import Encoder
from embedops.errors import ConfigError
from embedops.extension import Plugin, PluginConfig
from embedops.streams import Conditioning, Role

_NAMES = {Role.CONTENT: "words", Role.END: "end of text", Role.PAD: "padding"}


@dataclass(frozen=True)
class Part:
    """Some positions of one text encoder.

    Attributes:
        stream: the text encoder; None for all of them.
        role: the positions; None for all of them.
        pooled: whether the sentence vector is meant, and no position.
    """

    stream: str | None
    role: Role | None = None
    pooled: bool = False

    def title(self, several: bool) -> str:
        """How a person calls it; with the text encoder's name where there are `several`."""
        if self.stream is None:
            return "everything"
        if not self.stream:
            return "nothing"
        what = "sentence vector" if self.pooled else _NAMES[self.role or Role.CONTENT]
        return f"{what} of {self.stream}" if several else what


EVERYTHING = Part(None)
NOTHING = Part("")


def parts_of(conditioning: Conditioning) -> list[Part]:
    """Everything, each part of each text encoder, and nothing."""
    found = [EVERYTHING]
    for stream in conditioning.streams:
        present = [role for role in _NAMES if bool((stream.roles[0] == role).any())]
        found += [Part(stream.name, role) for role in present]
        if stream.pooled_read:
            found.append(Part(stream.name, pooled=True))
    return [*found, NOTHING]


class Only(Plugin[PluginConfig]):
    """Lets each prompt of a batch keep one part of what was said, and reads the empty prompt in
    all others.

    Args:
        parts: one a prompt.
    """

    name: ClassVar[str] = "only"
    Config: ClassVar[type[PluginConfig]] = PluginConfig

    def __init__(self, parts: Sequence[Part]) -> None:
        super().__init__(PluginConfig())
        self._parts = tuple(parts)

    def edit(self, conditioning: Conditioning, encoder: Encoder) -> Edit:
        empty = encoder.encode([""] * len(conditioning))
        streams = []
        for stream in conditioning.streams:
            blank = empty.stream(stream.name)
            if blank.embeds.shape != stream.embeds.shape:
                raise ConfigError(
                    f"{stream.name} encodes an empty prompt in another length, so that its parts "
                    f"cannot be told apart. The map and the angles work all the same."
                )
            keep = torch.zeros(stream.roles.shape, dtype=torch.bool)
            whole = torch.zeros(len(stream), 1, dtype=torch.bool)
            for row, part in enumerate(self._parts):
                if part == EVERYTHING:
                    keep[row], whole[row] = True, True
                elif part.stream == stream.name and part.role is not None:
                    keep[row] = stream.roles[row] == part.role
                elif part.stream == stream.name and part.pooled:
                    whole[row] = True
            device = stream.embeds.device
            pooled = None
            if stream.pooled is not None and blank.pooled is not None:
                pooled = torch.where(whole.to(device), stream.pooled, blank.pooled)
            embeds = torch.where(keep.to(device)[..., None], stream.embeds, blank.embeds)
            streams.append(stream.replace(embeds=embeds, pooled=pooled))
        count = len(conditioning)
        traces = tuple(Trace(self.name, False, Window()) for _ in range(count))
        return Edit(conditioning.replace(*streams), (Window(),) * count, traces)
