"""What a clip shows, frame by frame and as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from embedops_emoji.captions import Scene
from embedops_emoji.evaluator import Evaluator, Reading
from embedops_emoji.motion.clips import MOTIONS, Clip
from embedops_emoji.scenes import IMAGE_SIZE, Compositor

_VARIANTS = 12
_BORDER = 6


@dataclass(frozen=True)
class ClipReading:
    """What the evaluator sees in a clip.

    Attributes:
        frames: one reading a frame.
    """

    frames: tuple[Reading, ...]

    def share(self, name_or_group: str) -> float:
        """In which share of the frames an object, or any object of a group, is seen."""
        return sum(reading.sees(name_or_group) for reading in self.frames) / len(self.frames)

    def sees(self, name_or_group: str) -> bool:
        """Whether it is seen in at least half of the frames."""
        return self.share(name_or_group) >= 0.5

    def seen(self) -> tuple[str, ...]:
        """What is seen in at least half of the frames, most often first."""
        counts: dict[str, int] = {}
        for reading in self.frames:
            for name in reading.seen():
                counts[name] = counts.get(name, 0) + 1
        often = [n for n, count in counts.items() if 2 * count >= len(self.frames)]
        return tuple(sorted(often, key=lambda n: -counts[n]))

    @property
    def steadiness(self) -> float:
        """The share of neighbouring frames in which the same objects are seen."""
        pairs = list(zip(self.frames, self.frames[1:], strict=False))
        return sum(set(a.seen()) == set(b.seen()) for a, b in pairs) / max(1, len(pairs))

    def background(self, name: str) -> float:
        """The share of the frames with that background."""
        return sum(reading.background == name for reading in self.frames) / len(self.frames)


class ClipJudge:
    """Reads clips; the motion by comparing with drawings of every motion."""

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator
        self._compositor = Compositor()

    @classmethod
    def load(cls) -> ClipJudge:
        """With the shipped evaluator."""
        return cls(Evaluator.load())

    def read(self, clips: Sequence[Sequence[Image.Image]]) -> list[ClipReading]:
        """Read each clip, a list of frames."""
        readings = self._evaluator.read([frame for clip in clips for frame in clip])
        ends = np.cumsum([len(clip) for clip in clips])
        return [
            ClipReading(tuple(readings[end - len(clip) : end]))
            for clip, end in zip(clips, ends.tolist(), strict=True)
        ]

    def motion(self, frames: Sequence[Image.Image], scene: Scene) -> str:
        """The motion whose drawing of `scene` the clip is nearest to, in mean absolute error.

        Args:
            frames: the clip.
            scene: what it is meant to show; one object.

        Raises:
            ValueError: the scene has another number of objects.
        """
        if len(scene.objects) != 1:
            raise ValueError(f"one object can be followed, got {len(scene.objects)}")
        seen = np.stack([np.asarray(f.convert("RGB"), np.float32) for f in frames])
        variant = min(range(_VARIANTS), key=lambda v: self._border_error(seen, scene, v))
        errors = {
            motion: float(np.abs(self._drawn(scene, motion, variant) - seen).mean())
            for motion in MOTIONS
        }
        return min(errors, key=lambda motion: errors[motion])

    def _drawn(self, scene: Scene, motion: str, variant: int) -> npt.NDArray[np.float32]:
        return Clip(scene, motion, variant).draw(self._compositor).astype(np.float32)

    def _border_error(self, seen: npt.NDArray[np.float32], scene: Scene, variant: int) -> float:
        ground, _ = self._compositor.place(scene.background, variant, scene.style, ())
        border = np.ones((IMAGE_SIZE, IMAGE_SIZE), bool)
        border[_BORDER:-_BORDER, _BORDER:-_BORDER] = False
        middle = np.median(seen, axis=0)
        return float(np.abs(middle - ground.astype(np.float32))[border].mean())
