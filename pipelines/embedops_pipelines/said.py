"""One side of the guidance, as it was encoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from embedops.streams import TextStream
from embedops_pipelines.text_model import Row, TextModel

Values = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Said:
    """One side of the guidance as `encode_prompt` returned it and as the encoders were seen.

    Attributes:
        values: the returned tensors by name, one row a prompt.
        rows: by text encoder the prompts' rows; None where it was not run for them.
        models: the text encoders by name.
    """

    values: Values
    rows: Mapping[str, Sequence[Row] | None]
    models: Mapping[str, TextModel]

    def stream(
        self,
        name: str,
        embeds: Tensor,
        *,
        mask: Tensor | None = None,
        pooled: Tensor | None = None,
    ) -> TextStream:
        """The stream of one text encoder.

        Args:
            name: its component name.
            embeds: what the denoiser reads of it, `[batch, seq, dim]`.
            mask: the attention mask that goes with it, `[batch, seq]`.
            pooled: the sentence vector that the denoiser reads, `[batch, dim]`.
        """
        model, rows = self.models[name], self.rows[name]
        if rows is None:
            return model.unspoken(embeds, mask, pooled)
        return model.stream(rows, embeds, mask=mask, pooled=pooled, pooled_read=pooled is not None)

    def states(self, name: str, like: Tensor) -> Tensor:
        """The encoder's own states `[batch, seq, dim]`, for a stream of which only the pooled
        vector is read; zeros where it was not run. Device and dtype are those of `like`."""
        rows = self.rows[name]
        if rows is None:
            return like.new_zeros(like.shape[0], 1, self.models[name].model.config.hidden_size)
        return torch.stack([row.states for row in rows]).to(like.device, like.dtype)
