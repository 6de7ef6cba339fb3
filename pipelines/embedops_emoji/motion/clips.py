"""Short clips of moving objects: what they show, how they are drawn and what is said of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embedops_emoji.captions import Scene, Wording, caption
from embedops_emoji.scenes import IMAGE_SIZE, Compositor, Placement

FRAMES = 8
"""Frames of every clip."""

MOTIONS: dict[str, tuple[str, ...]] = {
    "still": ("",),
    "rise": ("flying up", "rising"),
    "fall": ("falling", "falling down"),
    "right": ("moving right",),
    "left": ("moving left",),
    "grow": ("growing",),
    "shrink": ("shrinking",),
    "spin": ("spinning",),
}
"""What objects do, and how a prompt says it."""

MOTION_WORDS = tuple("flying rising falling moving right growing shrinking spinning".split())
"""Words that the image model's tokenizer would spell in pieces."""

_SINGLE = {"still": 54, "rise": 36, "fall": 36, "right": 36, "left": 36, "spin": 46}
_PAIR = {"still": 34, "rise": 28, "fall": 28, "spin": 30}
_REACH = 13
"""How far from the middle a moving object gets, in pixels."""


@dataclass(frozen=True)
class Clip:
    """One clip: a scene and what its objects do.

    Attributes:
        scene: objects, background and style.
        motion: key of :data:`MOTIONS`.
        variant: which picture of the background.
        jitter: shift of the path in pixels, right and down.
    """

    scene: Scene
    motion: str
    variant: int = 0
    jitter: tuple[int, int] = (0, 0)

    def placements(self, frame: int) -> list[Placement]:
        """Where the objects are at a frame, 0 to :data:`FRAMES` - 1.

        Raises:
            ValueError: a pair that moves sideways or changes size, for which there is no room.
        """
        objects = self.scene.objects
        sizes = _SINGLE if len(objects) < 2 else _PAIR
        centres = (IMAGE_SIZE // 2,) if len(objects) < 2 else (16, 48)
        progress = frame / (FRAMES - 1)
        size = sizes.get(self.motion)
        if size is None:
            if len(objects) > 1:
                raise ValueError(f"two objects have no room to {self.motion}")
            size = round(_size_at(progress if self.motion == "grow" else 1 - progress))
        along = round(_REACH * (2 * progress - 1))
        dx = {"right": along, "left": -along}.get(self.motion, 0) + self.jitter[0]
        dy = {"fall": along, "rise": -along}.get(self.motion, 0) + self.jitter[1]
        angle = 45 * frame if self.motion == "spin" else 0
        middle = IMAGE_SIZE // 2
        return [
            Placement(name, centre + dx, middle + dy, size, angle)
            for name, centre in zip(objects, centres, strict=False)
        ]

    def draw(self, compositor: Compositor) -> npt.NDArray[np.uint8]:
        """The clip as bytes `[FRAMES, 64, 64, 3]`."""
        scene = self.scene
        return np.stack(
            [
                compositor.place(
                    scene.background, self.variant, scene.style, self.placements(frame)
                )[0]
                for frame in range(FRAMES)
            ]
        )

    def caption(
        self, rng: np.random.Generator | None = None, wording: Wording | None = None
    ) -> str:
        """One wording of the clip; the plainest where nothing is given."""
        options = MOTIONS[self.motion]
        doing = options[0 if rng is None else int(rng.integers(len(options)))]
        return caption(self.scene, rng, wording, doing)


def sample_clip(rng: np.random.Generator, scene: Callable[[], Scene]) -> Clip:
    """One random clip; `scene` gives random scenes that have objects."""
    drawn = scene()
    options = [m for m in MOTIONS if len(drawn.objects) < 2 or m in _PAIR]
    jitter = rng.integers(-1, 2, size=2)
    return Clip(
        drawn,
        options[int(rng.integers(len(options)))],
        int(rng.integers(12)),
        (int(jitter[0]), int(jitter[1])),
    )


def _size_at(progress: float) -> float:
    return 20 + 34 * progress
