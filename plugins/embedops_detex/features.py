"""What the attribute mappers read of each picture."""

from __future__ import annotations

from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection

from embedops.errors import ConfigError
from embedops.learning.method import Task

_GRID = 4


@torch.no_grad()
def image_features(task: Task, encoder: str | None) -> tuple[Tensor, str]:
    """Features of the task's pictures `[n, dim]` in units of their spread, and what they are.

    The paper's are CLIP's. Without a CLIP image encoder the latents stand in, on a grid of 4×4:
    ours.

    Raises:
        ConfigError: `encoder` cannot be loaded.
    """
    model, processor = getattr(task.pipe, "image_encoder", None), None
    if encoder is not None:
        try:
            model = CLIPVisionModelWithProjection.from_pretrained(encoder)
            processor = CLIPImageProcessor.from_pretrained(encoder)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"image_encoder={encoder!r} cannot be loaded: {error} Give a folder or hub id of a "
                f"CLIP image encoder, or leave it out."
            ) from error
    pixels = torch.stack([picture.pixels for picture in task.pictures])
    if model is None:
        latents = torch.cat([task.denoising.encode(one[None])[0] for one in pixels])
        found = nn.functional.adaptive_avg_pool2d(latents, _GRID).flatten(1)
        what = "the latents on a coarse grid, for want of a CLIP image encoder"
    else:
        processor = processor or getattr(task.pipe, "feature_extractor", None)
        found = _clip_features(model, processor or CLIPImageProcessor(), pixels)
        what = "CLIP image features"
    found = found.float()
    return (found - found.mean(0)) / found.std(0, correction=0).mean().clamp_min(1e-6), what


def _clip_features(model: Any, processor: Any, pixels: Tensor) -> Tensor:
    arrays = pixels.add(1).mul(127.5).byte().permute(0, 2, 3, 1).cpu().numpy()
    images = [Image.fromarray(array) for array in arrays]
    read = processor(images=images, return_tensors="pt").pixel_values
    features: Tensor = model(read.to(model.device, model.dtype)).image_embeds
    return features
