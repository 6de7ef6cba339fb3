"""Reads what a picture shows: objects, background, style, pose. It never saw the denoiser."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from embedops_emoji import world
from embedops_emoji.scenes import IMAGE_SIZE
from embedops_emoji.vision import ConvTower

EVALUATOR_FOLDER = "evaluator"
DEFAULT_THRESHOLD = 0.5
"""Probability from which an object counts as seen; see the model card for its calibration."""

_WIDTHS = (32, 64, 112, 160)


@dataclass(frozen=True)
class Reading:
    """What the evaluator sees in one picture.

    Attributes:
        objects: probability per trained object, independent of one another.
        background: most likely key of :data:`world.BACKGROUNDS`.
        style: most likely key of :data:`world.STYLES`.
        pose: most likely key of :data:`world.POSES`.
        threshold: probability from which an object counts as seen.
    """

    objects: dict[str, float]
    background: str
    style: str
    pose: str
    threshold: float = DEFAULT_THRESHOLD

    def sees(self, name_or_group: str) -> bool:
        """Whether the object, or any object of the group, is seen.

        Raises:
            KeyError: neither a trained object's canonical name nor a group.
        """
        if name_or_group in self.objects:
            return self.objects[name_or_group] >= self.threshold
        if name_or_group in world.GROUP_WORDS:
            return any(self.objects[n] >= self.threshold for n in world.members(name_or_group))
        raise KeyError(
            f"{name_or_group!r} is neither an object nor a group; groups are "
            f"{', '.join(world.GROUP_WORDS)}, objects are {', '.join(self.objects)}"
        )

    def seen(self) -> tuple[str, ...]:
        """Names of all objects seen, most probable first."""
        hits = [n for n, p in self.objects.items() if p >= self.threshold]
        return tuple(sorted(hits, key=lambda n: -self.objects[n]))


class EvaluatorNet(nn.Module):
    """The evaluator's network: a CNN and four linear heads.

    Input `[batch, 3, 64, 64]` in -1..1; output logits for objects (independent), backgrounds,
    styles and poses (exclusive).
    """

    def __init__(self) -> None:
        super().__init__()
        self.tower = ConvTower(_WIDTHS)
        self.embed = nn.Sequential(nn.Linear(self.tower.dim, 192), nn.ReLU())
        self.objects = nn.Linear(192, len(world.OBJECTS))
        self.background = nn.Linear(192, len(world.BACKGROUNDS))
        self.style = nn.Linear(192, len(world.STYLES))
        self.pose = nn.Linear(192, len(world.POSES))

    def features(self, pixels: Tensor) -> Tensor:
        """Penultimate features `[batch, 192]`."""
        features: Tensor = self.embed(self.tower(pixels))
        return features

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        features = self.features(pixels)
        return (
            self.objects(features),
            self.background(features),
            self.style(features),
            self.pose(features),
        )


class Evaluator:
    """A trained evaluator on a device. Always computes in float32."""

    def __init__(
        self, net: EvaluatorNet, device: torch.device, threshold: float = DEFAULT_THRESHOLD
    ) -> None:
        self.net = net.to(device).eval()
        self.device = device
        self.threshold = threshold

    @classmethod
    def load(
        cls, device: str | torch.device | None = None, folder: Path | None = None
    ) -> Evaluator:
        """Load the shipped evaluator, or the one of another model folder.

        Args:
            device: where to compute; the CPU when omitted.
            folder: model folder; the shipped one when omitted.

        Raises:
            FileNotFoundError: the folder has no evaluator.
            ValueError: it was trained for another list of objects.
        """
        from embedops_emoji.loader import model_path

        home = (model_path() if folder is None else folder) / EVALUATOR_FOLDER
        weights, config = home / "model.safetensors", home / "config.json"
        if not weights.is_file() or not config.is_file():
            raise FileNotFoundError(
                f"{home} lacks model.safetensors or config.json; export a model with "
                "`python -m embedops_emoji.train export`"
            )
        settings = json.loads(config.read_text(encoding="utf-8"))
        if settings["objects"] != list(world.OBJECTS):
            raise ValueError(
                f"the evaluator in {home} reads {len(settings['objects'])} objects that differ "
                f"from the world's {len(world.OBJECTS)}; train it again with this version"
            )
        state = {
            k: v.float() if v.is_floating_point() else v for k, v in load_file(weights).items()
        }
        net = EvaluatorNet()
        net.load_state_dict(state, strict=True)
        return cls(net, torch.device(device or "cpu"), float(settings["threshold"]))

    def read(self, images: Sequence[Image.Image]) -> list[Reading]:
        """Read each picture; other sizes than 64x64 are resampled."""
        return self.read_pixels(self._pixels(images))

    @torch.no_grad()
    def features(self, images: Sequence[Image.Image]) -> Tensor:
        """Penultimate features `[batch, 192]`, for identity scores by cosine."""
        pixels = self._pixels(images)
        return torch.cat([self.net.features(p.to(self.device)) for p in torch.split(pixels, 128)])

    @torch.no_grad()
    def read_pixels(self, pixels: Tensor) -> list[Reading]:
        """Read a batch `[batch, 3, 64, 64]` in -1..1."""
        readings = []
        for part in torch.split(pixels, 128):
            objects, ground, style, pose = self.net(part.to(self.device))
            probabilities = objects.sigmoid().tolist()
            best = torch.stack([ground.argmax(1), style.argmax(1), pose.argmax(1)], 1).tolist()
            for row, (g, s, p) in zip(probabilities, best, strict=True):
                readings.append(
                    Reading(
                        objects=dict(zip(world.OBJECTS, row, strict=True)),
                        background=tuple(world.BACKGROUNDS)[g],
                        style=tuple(world.STYLES)[s],
                        pose=tuple(world.POSES)[p],
                        threshold=self.threshold,
                    )
                )
        return readings

    @staticmethod
    def _pixels(images: Sequence[Image.Image]) -> Tensor:
        """Pictures to `[batch, 3, 64, 64]` in -1..1."""
        size = (IMAGE_SIZE, IMAGE_SIZE)
        arrays = []
        for image in images:
            rgb = image.convert("RGB")
            if rgb.size != size:
                rgb = rgb.resize(size, Image.Resampling.BOX)
            arrays.append(np.asarray(rgb, np.float32))
        if not arrays:
            return torch.empty(0, 3, IMAGE_SIZE, IMAGE_SIZE)
        stacked = np.stack(arrays) / 127.5 - 1.0
        return torch.from_numpy(stacked).permute(0, 3, 1, 2).contiguous()
