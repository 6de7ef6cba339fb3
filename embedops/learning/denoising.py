"""A pipeline as the learning loop sees it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from embedops.errors import UnsupportedPipelineError
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

    def denoiser(self) -> nn.Module:
        """The network that denoises.

        Raises:
            UnsupportedPipelineError: what it does with text cannot be taken apart.
        """
        raise UnsupportedPipelineError(
            "this family's denoiser reads text and picture together, so attention to the text "
            "cannot be seen or taught by itself. Use a method that learns vectors alone."
        )

    def cross_attention(self) -> Mapping[str, nn.Module]:
        """The denoiser's layers that read the text, by their path in it.

        Raises:
            UnsupportedPipelineError: it has no layers for the text alone.
        """
        self.denoiser()
        return {}

    @abstractmethod
    def modules(self) -> Sequence[object]:
        """The networks that take part; all of them stay frozen."""
