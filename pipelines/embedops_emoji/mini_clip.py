"""The contrastive model that taught the text encoder: image tower and both projections.

It ships beside the pipeline in `image_encoder/`; methods that want "CLIP image features" or an
image-text score use it.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from embedops_emoji.vision import ConvTower


class MiniClip(nn.Module):
    """Image tower, image and text projections to a shared unit sphere, and the logit scale."""

    def __init__(self, text_width: int = 128, projection: int = 128) -> None:
        super().__init__()
        self.tower = ConvTower()
        self.visual_projection = nn.Linear(self.tower.dim, projection, bias=False)
        self.text_projection = nn.Linear(text_width, projection, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(2.6))

    @classmethod
    def load(cls, folder: Path, device: str | torch.device | None = None) -> MiniClip:
        """Load `image_encoder/` of a model folder, in float32 and evaluation mode.

        Raises:
            FileNotFoundError: the folder has no image encoder.
        """
        path = folder / "image_encoder" / "model.safetensors"
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} is missing; export the model with `python -m embedops_emoji.train export`"
            )
        state = {k: v.float() if v.is_floating_point() else v for k, v in load_file(path).items()}
        projection, width = state["text_projection.weight"].shape
        model = cls(width, projection)
        model.load_state_dict(state, strict=True)
        model.eval()
        return model if device is None else model.to(device)

    def image_features(self, pixels: Tensor) -> Tensor:
        """Unit vectors `[batch, projection]` of pictures `[batch, 3, 64, 64]` in -1..1."""
        return functional.normalize(self.visual_projection(self.tower(pixels)), dim=-1)

    def text_features(self, pooled: Tensor) -> Tensor:
        """Unit vectors `[batch, projection]` of the text encoder's pooled `[batch, width]`."""
        return functional.normalize(self.text_projection(pooled), dim=-1)
