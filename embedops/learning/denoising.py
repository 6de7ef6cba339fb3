"""A pipeline as the learning loop sees it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor

from embedops.families import Bundle


class Denoising(ABC):
    """Pictures to latents, texts to what the denoiser reads, both to a prediction.

    A family's adapter gives one where concepts can be learnt with it.
    """

    size: int
    """The side in pixels of the pictures that the model was made for."""

    @abstractmethod
    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and spread of the latents of pictures `[n, 3, size, size]` in -1..1."""

    @abstractmethod
    def read(self, texts: Sequence[str]) -> Bundle:
        """What the denoiser reads of texts, one row each, with gradients where rows have them."""

    @abstractmethod
    def predict(self, noisy: Tensor, times: Tensor, bundle: Bundle) -> Tensor:
        """The denoiser's prediction for noisy latents `[n, ...]` at timesteps `[n]`."""

    @abstractmethod
    def modules(self) -> Sequence[object]:
        """The networks that take part; all of them stay frozen."""
