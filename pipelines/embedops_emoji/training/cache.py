"""Stage `cache`: scenes drawn and encoded once, so that the denoiser's steps only read them.

A chunk is a safetensors file: `latents [n, 4, 16, 16]` in bfloat16 and `codes [n, 6]`, the scenes
as indices. Captions are worded anew each time a scene is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from embedops_emoji import world
from embedops_emoji.captions import Scene
from embedops_emoji.scenes import TIGHT, Compositor
from embedops_emoji.training.sampling import Mix, sample_scene, to_tensor
from embedops_emoji.training.settings import Settings
from embedops_emoji.training.support import TrainingLog, save_tensors
from embedops_emoji.training.vae_training import load_vae

CACHE_FOLDER = "cache"
_NAMES = tuple(world.OBJECTS)
_GROUNDS = tuple(world.BACKGROUNDS)
_STYLES = tuple(world.STYLES)
_POSES = tuple(world.POSES)


def encode_scenes(scenes: Sequence[Scene]) -> Tensor:
    """Scenes to `[n, 6]` indices: slot count, slots (-1 empty), background, style, pose."""
    rows = []
    for scene in scenes:
        slots = [-1 if s is None else _NAMES.index(s) for s in scene.slots]
        slots += [-1] * (2 - len(slots))
        ground, style = _GROUNDS.index(scene.background), _STYLES.index(scene.style)
        rows.append([len(scene.slots), *slots, ground, style, _POSES.index(scene.pose)])
    return torch.tensor(rows, dtype=torch.int8)


def decode_scenes(codes: Tensor) -> list[Scene]:
    """Inverse of :func:`encode_scenes`."""
    scenes = []
    for count, left, right, ground, style, pose in codes.tolist():
        slots = tuple(None if s < 0 else _NAMES[s] for s in (left, right)[:count])
        scenes.append(Scene(slots, _GROUNDS[ground], _STYLES[style], _POSES[pose]))
    return scenes


def build_cache(settings: Settings, folder: Path, log: Path) -> None:
    """Write the chunks that are missing; each has a random stream of its own."""
    vae = load_vae(settings, folder)
    compositor = Compositor()
    writer = TrainingLog(log, "cache")
    home = folder / CACHE_FOLDER
    for chunk in range(settings.cache_chunks):
        path = home / f"{chunk:03d}.safetensors"
        if path.is_file():
            continue
        rng = np.random.default_rng([settings.seed, 6, chunk])
        mix = Mix()
        scenes = [sample_scene(rng, mix) for _ in range(settings.cache_chunk)]
        parts = []
        for start in range(0, len(scenes), 100):
            images = to_tensor(compositor.batch(scenes[start : start + 100], rng, TIGHT))
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
                parts.append(vae.encode(images).latent_dist.mean.bfloat16())
        tensors = {"latents": torch.cat(parts), "codes": encode_scenes(scenes)}
        save_tensors(path, tensors, {"chunk": str(chunk)})
        writer.write(chunk, {"scenes": float(len(scenes))})


class CachedScenes:
    """Random batches from whichever chunks exist so far."""

    def __init__(self, folder: Path) -> None:
        self._home = folder / CACHE_FOLDER
        self._chunks: dict[str, dict[str, Tensor]] = {}
        self.refresh()

    def refresh(self) -> None:
        """Look for chunks written since.

        Raises:
            FileNotFoundError: there is none at all.
        """
        for path in sorted(self._home.glob("*.safetensors")):
            if path.name not in self._chunks:
                self._chunks[path.name] = load_file(path)
        if not self._chunks:
            raise FileNotFoundError(f"{self._home} holds no chunk; run the stage `cache` first")

    def __len__(self) -> int:
        return sum(len(c["codes"]) for c in self._chunks.values())

    def batch(self, size: int, rng: np.random.Generator) -> tuple[Tensor, list[Scene]]:
        """Latents `[size, 4, 16, 16]` in float32 and their scenes."""
        chunks = list(self._chunks.values())
        lengths = np.array([len(c["codes"]) for c in chunks])
        ends = np.cumsum(lengths)
        latents, codes = [], []
        for pick in rng.integers(0, int(ends[-1]), size).tolist():
            which = int(np.searchsorted(ends, pick, side="right"))
            row = pick - int(ends[which] - lengths[which])
            latents.append(chunks[which]["latents"][row])
            codes.append(chunks[which]["codes"][row])
        return torch.stack(latents).float(), decode_scenes(torch.stack(codes))


def is_blank(scene: Scene) -> bool:
    """Whether the scene is an empty white picture."""
    return not scene.slots and scene.background == world.DEFAULT_BACKGROUND
