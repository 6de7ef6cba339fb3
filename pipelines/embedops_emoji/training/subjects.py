"""Stage `subjects`: example pictures of the held-out objects, for learning from a few of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from embedops_emoji import world
from embedops_emoji.captions import Scene
from embedops_emoji.scenes import Compositor, Layout

_LAYOUT = Layout(single=(50, 56), jitter=3)
_VIEWS = (
    ("white", "3d", "upright"),
    ("green meadow", "3d", "upright"),
    ("sunset", "3d", "upright"),
    ("sandy beach", "3d", "upright"),
    ("brick wall", "3d", "upright"),
    ("snow", "3d", "upright"),
)


def write_subjects(out: Path, seed: int = 0) -> None:
    """Write `NAME/0.png` ... `5.png`, `N-mask.png` (255 on the subject) and `views.json`.

    Pictures are 64x64. `views.json` lists each picture's background, style and pose.
    """
    compositor = Compositor()
    for index, name in enumerate(world.HELD_OUT):
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng([seed, index])
        views = []
        for number, (background, style, pose) in enumerate(_VIEWS):
            scene = Scene((name,), background, style, pose)
            picture, mask = compositor.draw_with_mask(scene, rng, _LAYOUT)
            Image.fromarray(picture).save(folder / f"{number}.png", optimize=True)
            Image.fromarray(mask).save(folder / f"{number}-mask.png", optimize=True)
            view = {"image": f"{number}.png", "mask": f"{number}-mask.png"}
            views.append(view | {"background": background, "style": style, "pose": pose})
        (folder / "views.json").write_text(json.dumps(views, indent=2) + "\n", encoding="utf-8")
