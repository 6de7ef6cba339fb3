"""What text encoders say of a batch of prompts: the values that plugins read and return."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor

from embedops.errors import ConfigError, UnknownNameError


class Role(IntEnum):
    """What a position of a token sequence is there for."""

    FRAME = 0
    """BOS, a chat template, a system prompt: not the user's words, and before or around them."""
    CONTENT = 1
    """The prompt's own tokens."""
    END = 2
    """The end-of-sequence token; in CLIP the position that is pooled."""
    PAD = 3
    """Filler up to the encoder's length. The denoiser reads it all the same in most families."""


@dataclass(frozen=True, eq=False)
class TextStream:
    """One text encoder's view of a batch of prompts.

    Attributes:
        name: the pipeline component that made it, such as `"text_encoder"`.
        embeds: token embeddings as the denoiser reads them, `[batch, seq, dim]`.
        roles: `Role` of every position, int8 `[batch, seq]`, on the CPU.
        tokens: the token's text at every position, `batch` rows of `seq`.
        pooled: the sentence vector `[batch, pooled_dim]`, or None where the encoder has none.
        pooled_read: whether the denoiser reads `pooled`, so that an edit must cover it.
        mask: the attention mask `[batch, seq]` that goes to the denoiser with `embeds`, or None
            where it gets none.
    """

    name: str
    embeds: Tensor
    roles: Tensor
    tokens: tuple[tuple[str, ...], ...]
    pooled: Tensor | None = None
    pooled_read: bool = False
    mask: Tensor | None = None

    def __post_init__(self) -> None:
        if self.embeds.ndim != 3 or self.roles.shape != self.embeds.shape[:2]:
            raise ConfigError(
                f"stream {self.name!r} needs embeds [batch, seq, dim] and roles [batch, seq]; got "
                f"{tuple(self.embeds.shape)} and {tuple(self.roles.shape)}."
            )
        if self.mask is not None and self.mask.shape != self.roles.shape:
            raise ConfigError(
                f"stream {self.name!r} needs a mask [batch, seq] = {tuple(self.roles.shape)}; got "
                f"{tuple(self.mask.shape)}."
            )

    def __len__(self) -> int:
        return self.embeds.shape[0]

    @property
    def dim(self) -> int:
        return self.embeds.shape[-1]

    @property
    def content(self) -> Tensor:
        """Bool `[batch, seq]` on the CPU: the positions of the prompt's own tokens."""
        return self.roles == Role.CONTENT

    @property
    def mask_or_ones(self) -> Tensor:
        """The mask `[batch, seq]`; all ones where there is none, so that every position is read."""
        if self.mask is not None:
            return self.mask
        return torch.ones(self.roles.shape, dtype=torch.long, device=self.embeds.device)

    @property
    def pooled_vector(self) -> Tensor:
        """`pooled` of an encoder whose sentence vector the denoiser reads, `[batch, pooled_dim]`.

        Raises:
            ConfigError: the stream has none.
        """
        if self.pooled is None:
            raise ConfigError(
                f"stream {self.name!r} has no pooled vector, and the denoiser reads one. Give it "
                f"where the stream is made."
            )
        return self.pooled

    def positions(self, row: int, *roles: Role) -> list[int]:
        """The positions of `row` that have one of `roles`, ascending."""
        wanted = torch.isin(self.roles[row], torch.tensor(roles, dtype=self.roles.dtype))
        return [int(i) for i in wanted.nonzero().flatten()]

    def replace(self, *, embeds: Tensor | None = None, pooled: Tensor | None = None) -> TextStream:
        """A copy with other embeddings of the same shape; what is left out stays as it is.

        Raises:
            ConfigError: a shape differs, or the new values hold NaN or infinity.
        """
        changes: dict[str, Tensor] = {}
        for field, new, old in (
            ("embeds", embeds, self.embeds),
            ("pooled", pooled, self.pooled),
        ):
            if new is None:
                continue
            if old is None or new.shape != old.shape:
                raise ConfigError(
                    f"stream {self.name!r}: an edit changed the shape of {field} from "
                    f"{None if old is None else tuple(old.shape)} to {tuple(new.shape)}. An edit "
                    f"replaces values; to change the wording, encode the new text."
                )
            changes[field] = new.to(old.dtype)
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]  # fields by name

    def select(self, rows: Sequence[int]) -> TextStream:
        """The same stream for some prompts of the batch, in the order given."""
        index = torch.as_tensor(list(rows), dtype=torch.long)
        on_device = index.to(self.embeds.device)
        return dataclasses.replace(
            self,
            embeds=self.embeds[on_device],
            roles=self.roles[index],
            tokens=tuple(self.tokens[r] for r in rows),
            pooled=None if self.pooled is None else self.pooled[on_device],
            mask=None if self.mask is None else self.mask[index.to(self.mask.device)],
        )


@dataclass(frozen=True, eq=False)
class Conditioning:
    """The streams of one batch of prompts, positive or negative. Never edited in place.

    Attributes:
        prompts: the text of each row.
        streams: one `TextStream` per text encoder, in the pipeline's order.
        negative: what guidance steers away from, row by row; None with guidance off, where it was
            given as embeddings, and on a negative conditioning itself.
    """

    prompts: tuple[str, ...]
    streams: tuple[TextStream, ...]
    negative: Conditioning | None = None

    def __post_init__(self) -> None:
        for stream in self.streams:
            if len(stream) != len(self.prompts):
                raise ConfigError(
                    f"stream {stream.name!r} has {len(stream)} rows for {len(self.prompts)} "
                    f"prompts; each prompt needs exactly one row."
                )
        if self.negative is not None and len(self.negative) != len(self):
            raise ConfigError(
                f"{len(self)} prompts need as many negative rows, got {len(self.negative)}."
            )

    def __len__(self) -> int:
        return len(self.prompts)

    def stream(self, name: str) -> TextStream:
        """The stream of one text encoder.

        Raises:
            UnknownNameError: there is none of that name.
        """
        for stream in self.streams:
            if stream.name == name:
                return stream
        raise UnknownNameError.of("text stream", name, (s.name for s in self.streams))

    def replace(self, *streams: TextStream, prompts: Sequence[str] | None = None) -> Conditioning:
        """A copy in which the streams given take the places of those of the same name."""
        new = {s.name: s for s in streams}
        for name in new:
            self.stream(name)
        return Conditioning(
            self.prompts if prompts is None else tuple(prompts),
            tuple(new.get(s.name, s) for s in self.streams),
            self.negative,
        )

    def avoiding(self, negative: Conditioning | None) -> Conditioning:
        """A copy in which guidance steers away from `negative` instead."""
        return dataclasses.replace(self, negative=negative)

    def select(self, rows: Sequence[int]) -> Conditioning:
        """The conditioning of some prompts of the batch, in the order given."""
        return Conditioning(
            tuple(self.prompts[r] for r in rows),
            tuple(s.select(rows) for s in self.streams),
            None if self.negative is None else self.negative.select(rows),
        )

    def finite_rows(self) -> list[bool]:
        """Per row, whether everything the denoiser reads is free of NaN and infinity."""
        finite = torch.ones(len(self), dtype=torch.bool)
        for stream in self.streams:
            finite &= torch.isfinite(stream.embeds).flatten(1).all(1).cpu()
            if stream.pooled is not None:
                finite &= torch.isfinite(stream.pooled).flatten(1).all(1).cpu()
        if self.negative is not None:
            finite &= torch.tensor(self.negative.finite_rows())
        return [bool(f) for f in finite]
