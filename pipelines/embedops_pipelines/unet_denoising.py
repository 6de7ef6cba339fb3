"""Learning with Stable Diffusion and SDXL: a VAE, CLIP encoders and a UNet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from embedops.families import Bundle
from embedops.learning.denoising import Denoising
from embedops_pipelines.vae_latents import check_channels, latents_of


class UNetDenoising(Denoising):
    """Stable Diffusion 1 and 2, and SDXL.

    Args:
        pipe: the pipeline.

    Raises:
        UnsupportedPipelineError: the UNet reads more than noise and text.
    """

    def __init__(self, pipe: Any) -> None:
        self._pipe = pipe
        self._wide = getattr(pipe, "text_encoder_2", None) is not None
        check_channels("UNet", pipe.unet.config.in_channels, pipe.vae)
        self.size = int(pipe.unet.config.sample_size * pipe.vae_scale_factor)

    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        return latents_of(self._pipe.vae, pixels)

    def read(self, texts: Sequence[str]) -> Bundle:
        result = self._pipe.encode_prompt(
            list(texts),
            device=self._pipe.unet.device,
            num_images_per_prompt=1,
            do_classifier_free_guidance=False,
        )
        bundle: Bundle = {"encoder_hidden_states": result[0]}
        if self._wide:
            bundle["added_cond_kwargs.text_embeds"] = result[2]
        return bundle

    def predict(self, noisy: Tensor, times: Tensor, bundle: Bundle) -> Tensor:
        unet = self._pipe.unet
        states, pooled = (
            bundle.get(name) for name in ("encoder_hidden_states", "added_cond_kwargs.text_embeds")
        )
        added = None
        if isinstance(pooled, Tensor):
            # Original size, crop and target size, as for a picture that was neither scaled nor cut.
            sizes = torch.tensor([self.size, self.size, 0, 0, self.size, self.size])
            rows = sizes.to(noisy.device, unet.dtype).expand(len(noisy), -1)
            added = {"text_embeds": pooled.to(unet.dtype), "time_ids": rows}
        predicted: Tensor = unet(
            noisy.to(unet.dtype), times, _cast(states, unet.dtype), added_cond_kwargs=added
        ).sample
        return predicted.float()

    def denoiser(self) -> nn.Module:
        unet: nn.Module = self._pipe.unet
        return unet

    def cross_attention(self) -> Mapping[str, nn.Module]:
        return {p: m for p, m in self.denoiser().named_modules() if p.endswith("attn2")}

    def modules(self) -> Sequence[object]:
        names = ("unet", "vae", "text_encoder", "text_encoder_2")
        return [m for name in names if (m := getattr(self._pipe, name, None)) is not None]


def _cast(states: Tensor | list[Tensor] | None, dtype: torch.dtype) -> Tensor:
    if not isinstance(states, Tensor):
        raise TypeError(f"expected the text's states as a tensor, got {type(states).__name__}")
    return states.to(dtype)
