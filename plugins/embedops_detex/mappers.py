"""From a picture's features to the word embeddings of its pose and background."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from embedops.concepts import Vectors


class AttributeMapper(nn.Module):
    """One attribute's words, for every text encoder, from image features.

    Two layers; the second starts at zero, so that every picture starts from the same words. Depth
    and start are ours.

    Args:
        features: width of what is read.
        hidden: width between the layers.
        start: per text encoder `[count, dim]`, the rows of words for the attribute.
    """

    def __init__(self, features: int, hidden: int, start: Vectors, seed: int) -> None:
        super().__init__()
        self._start = {name: rows.clone() for name, rows in start.items()}
        total = sum(rows.numel() for rows in start.values())
        # Drawn from a generator of its own: the process's random state is not ours to move.
        generator = torch.Generator().manual_seed(seed)
        self.first = nn.Linear(features, hidden, device="meta").to_empty(device="cpu")
        self.second = nn.Linear(hidden, total, device="meta").to_empty(device="cpu")
        with torch.no_grad():
            self.first.weight.normal_(0, features**-0.5, generator=generator)
            for zeros in (self.first.bias, self.second.weight, self.second.bias):
                zeros.zero_()

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """Per text encoder the rows `[pictures, count, dim]` for features `[pictures, dim]`."""
        moved = self.second(nn.functional.gelu(self.first(features)))
        parts = moved.split([rows.numel() for rows in self._start.values()], dim=1)
        return {
            name: rows.to(part) + part.unflatten(1, rows.shape)
            for (name, rows), part in zip(self._start.items(), parts, strict=True)
        }
