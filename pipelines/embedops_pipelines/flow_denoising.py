"""Learning with Stable Diffusion 3 and Flux: a VAE, text encoders and a transformer that predicts
a flow."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from embedops.families import Bundle
from embedops.learning.denoising import Denoising
from embedops_pipelines.vae_latents import check_channels, latents_of

_STATES, _POOLED = "encoder_hidden_states", "pooled_projections"
_MODULES = ("transformer", "vae", "text_encoder", "text_encoder_2", "text_encoder_3")


class FlowDenoising(Denoising):
    """What the two families have in common.

    Pictures have the size that the pipeline draws without being told one: its
    `default_sample_size` says how many latents a side.

    Args:
        pipe: the pipeline.

    Raises:
        UnsupportedPipelineError: the transformer reads more than noise and text.
    """

    def __init__(self, pipe: Any) -> None:
        self._pipe = pipe
        check_channels("transformer", self.channels_read(), pipe.vae)
        side = int(pipe.default_sample_size)
        self.size = (side - side % 2) * int(pipe.vae_scale_factor)  # patches are 2 × 2 latents

    @abstractmethod
    def channels_read(self) -> int:
        """Channels that the transformer reads of each latent."""

    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        return latents_of(self._pipe.vae, pixels)

    def modules(self) -> Sequence[object]:
        return [m for name in _MODULES if (m := getattr(self._pipe, name, None)) is not None]


class StableDiffusion3Denoising(FlowDenoising):
    """Stable Diffusion 3 and 3.5, with T5 or without."""

    def channels_read(self) -> int:
        return int(self._pipe.transformer.config.in_channels)

    def read(self, texts: Sequence[str]) -> Bundle:
        states, _, pooled, _ = self._pipe.encode_prompt(
            list(texts),
            prompt_2=None,
            prompt_3=None,
            device=self._pipe._execution_device,
            do_classifier_free_guidance=False,
        )
        return {_STATES: states, _POOLED: pooled}

    def predict(self, noisy: Tensor, times: Tensor, bundle: Bundle) -> Tensor:
        transformer = self._pipe.transformer
        predicted: Tensor = transformer(
            hidden_states=noisy.to(transformer.dtype),
            timestep=times,
            return_dict=False,
            **_cast(bundle, transformer.dtype),
        )[0]
        return predicted.float()


class FluxDenoising(FlowDenoising):
    """The first Flux line: dev, schnell, and Kontext without a reference picture.

    The guidance that was distilled into dev is an input of its own. It is 1 while learning, as in
    the recipes of diffusers' training scripts: a prediction with more of it is no longer the flow
    that the loss compares it with.
    """

    def channels_read(self) -> int:
        return int(self._pipe.transformer.config.in_channels) // 4

    def read(self, texts: Sequence[str]) -> Bundle:
        states, pooled, _ = self._pipe.encode_prompt(
            list(texts), prompt_2=None, device=self._pipe._execution_device
        )
        return {_STATES: states, _POOLED: pooled}

    def predict(self, noisy: Tensor, times: Tensor, bundle: Bundle) -> Tensor:
        pipe, transformer = self._pipe, self._pipe.transformer
        count, channels, high, wide = noisy.shape
        given = _cast(bundle, transformer.dtype)
        where = {"device": noisy.device, "dtype": transformer.dtype}
        guidance = torch.ones(count, device=noisy.device)
        packed = transformer(
            hidden_states=pipe._pack_latents(noisy, count, channels, high, wide).to(**where),
            timestep=times / 1000,
            guidance=guidance if transformer.config.guidance_embeds else None,
            txt_ids=torch.zeros(given[_STATES].shape[1], 3, **where),
            img_ids=pipe._prepare_latent_image_ids(count, high // 2, wide // 2, **where),
            return_dict=False,
            **given,
        )[0]
        predicted: Tensor = pipe._unpack_latents(packed, high, wide, vae_scale_factor=1)
        return predicted.float()


def _cast(bundle: Bundle, dtype: torch.dtype) -> dict[str, Tensor]:
    """The bundle in the transformer's dtype; under autocast it may be in another."""
    return {key: value.to(dtype) for key, value in bundle.items() if isinstance(value, Tensor)}
