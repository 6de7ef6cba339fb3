"""The compositor: draws a :class:`~embedops_emoji.captions.Scene` from sprites in microseconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from embedops_emoji import world
from embedops_emoji.captions import Scene
from embedops_emoji.sprites import load_atlas

IMAGE_SIZE = 64
"""Side of every picture, in pixels."""

_BACKGROUND_VARIANTS = 12

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Layout:
    """Where and how large objects stand.

    Attributes:
        single: sprite side of an only object, in pixels: lowest and highest.
        pair: sprite side of each of two objects.
        jitter: largest shift from the slot's centre, in pixels.
        angles: degrees of the "tilted" pose: lowest and highest, either direction.
    """

    single: tuple[int, int] = (54, 56)
    pair: tuple[int, int] = (34, 35)
    jitter: int = 1
    angles: tuple[int, int] = (30, 40)


@dataclass(frozen=True)
class Placement:
    """An object somewhere in the picture.

    Attributes:
        name: the object.
        x: its centre, pixels from the left.
        y: its centre, pixels from the top.
        size: the sprite's side in pixels.
        angle: degrees counter-clockwise.
    """

    name: str
    x: int
    y: int
    size: int
    angle: int = 0


TIGHT = Layout()
"""What the denoiser learns: large objects, hardly any jitter."""

LOOSE = Layout(single=(44, 60), pair=(28, 38), jitter=4, angles=(22, 50))
"""What the evaluator learns: it must also read objects that came out too small or shifted."""


class Compositor:
    """Draws scenes. Sprites and backgrounds are prepared once, then a scene is a few copies."""

    def __init__(self) -> None:
        self._atlas = load_atlas()
        self._sprites: dict[tuple[str, str, int, int], tuple[Floats, Floats]] = {}
        self._grounds = {name: _paint_background(name) for name in world.BACKGROUNDS}

    def draw(self, scene: Scene, rng: np.random.Generator, layout: Layout = TIGHT) -> Pixels:
        """Draw `scene` as `[64, 64, 3]` bytes."""
        return self.draw_with_mask(scene, rng, layout)[0]

    def draw_with_mask(
        self, scene: Scene, rng: np.random.Generator, layout: Layout = TIGHT
    ) -> tuple[Pixels, Pixels]:
        """Draw `scene` and the union of its objects.

        Returns:
            The picture `[64, 64, 3]` and the objects' coverage `[64, 64]`, 255 where opaque.

        Raises:
            ValueError: more than two slots.
        """
        if len(scene.slots) > 2:
            raise ValueError(f"a scene has at most 2 slots, got {len(scene.slots)}")
        variants = self._grounds[scene.background]
        canvas = variants[int(rng.integers(len(variants)))].copy()
        mask = np.zeros((IMAGE_SIZE, IMAGE_SIZE, 1), np.float32)
        low, high = layout.single if len(scene.slots) == 1 else layout.pair
        centres = (32,) if len(scene.slots) == 1 else (16, 48)
        for centre, name in zip(centres, scene.slots, strict=False):
            if name is None:
                continue
            size = int(rng.integers(low, high + 1))
            angle = 0
            if scene.pose == "upside down":
                angle = 180
            elif scene.pose == "tilted":
                angle = int(rng.integers(layout.angles[0], layout.angles[1] + 1)) // 2 * 2
                angle *= 1 if rng.random() < 0.5 else -1
            shift = rng.integers(-layout.jitter, layout.jitter + 1, size=2)
            x = centre - size // 2 + int(shift[0])
            y = IMAGE_SIZE // 2 - size // 2 + int(shift[1])
            self._blend(canvas, mask, self._sprite(name, scene.style, angle, size), x, y)
        picture = np.clip(canvas + 0.5, 0, 255).astype(np.uint8)
        return picture, np.clip(mask[..., 0] * 255 + 0.5, 0, 255).astype(np.uint8)

    def place(
        self, background: str, variant: int, style: str, sprites: Sequence[Placement]
    ) -> tuple[Pixels, Pixels]:
        """Draw objects wherever they are, later ones in front.

        Args:
            background: key of :data:`world.BACKGROUNDS`.
            variant: which of its pictures, modulo their number.
            style: key of :data:`world.STYLES`.
            sprites: the objects; what lies outside the picture is cut off.

        Returns:
            As :meth:`draw_with_mask`.
        """
        variants = self._grounds[background]
        canvas = variants[variant % len(variants)].copy()
        mask = np.zeros((IMAGE_SIZE, IMAGE_SIZE, 1), np.float32)
        for one in sprites:
            sprite = self._sprite(one.name, style, one.angle, one.size)
            half = one.size // 2
            self._blend(canvas, mask, sprite, one.x - half, one.y - half)
        picture = np.clip(canvas + 0.5, 0, 255).astype(np.uint8)
        return picture, np.clip(mask[..., 0] * 255 + 0.5, 0, 255).astype(np.uint8)

    def batch(
        self, scenes: Sequence[Scene], rng: np.random.Generator, layout: Layout = TIGHT
    ) -> Pixels:
        """Draw several scenes: `[batch, 64, 64, 3]` bytes."""
        return np.stack([self.draw(scene, rng, layout) for scene in scenes])

    def _sprite(self, name: str, style: str, angle: int, size: int) -> tuple[Floats, Floats]:
        key = (name, style, angle, size)
        if key not in self._sprites:
            image = self._atlas[name, style].resize((size, size), Image.Resampling.LANCZOS)
            if angle:
                image = image.rotate(angle, Image.Resampling.BICUBIC)
            rgba = np.asarray(image, np.float32)
            alpha = rgba[..., 3:] / 255
            colour: Floats = (rgba[..., :3] * alpha).astype(np.float32)
            self._sprites[key] = (colour, alpha.astype(np.float32))
        return self._sprites[key]

    @staticmethod
    def _blend(canvas: Floats, mask: Floats, sprite: tuple[Floats, Floats], x: int, y: int) -> None:
        colour, alpha = sprite
        size = alpha.shape[0]
        x0, y0 = max(x, 0), max(y, 0)
        x1, y1 = min(x + size, IMAGE_SIZE), min(y + size, IMAGE_SIZE)
        cut = (slice(y0 - y, y1 - y), slice(x0 - x, x1 - x))
        here = (slice(y0, y1), slice(x0, x1))
        canvas[here] = canvas[here] * (1 - alpha[cut]) + colour[cut]
        mask[here] = np.maximum(mask[here], alpha[cut])


def to_images(pixels: Pixels) -> list[Image.Image]:
    """Turn `[batch, height, width, 3]` bytes into PIL pictures."""
    return [Image.fromarray(p, "RGB") for p in pixels]


def _gradient(stops: Sequence[tuple[float, tuple[int, int, int]]]) -> Floats:
    """A vertical colour ramp `[64, 64, 3]`; `stops` are (height from the top in 0..1, colour)."""
    rows = np.linspace(0, 1, IMAGE_SIZE)
    places = [s for s, _ in stops]
    ramp = np.stack([np.interp(rows, places, [c[i] for _, c in stops]) for i in range(3)], -1)
    return np.repeat(ramp[:, None, :], IMAGE_SIZE, 1).astype(np.float32)


def _discs(
    canvas: Floats, spots: npt.NDArray[np.float64], colour: tuple[int, int, int], strength: float
) -> None:
    """Blend soft discs in place; `spots` rows are centre x, centre y, radius x, radius y."""
    yy, xx = np.mgrid[0:IMAGE_SIZE, 0:IMAGE_SIZE].astype(np.float32)
    for cx, cy, rx, ry in spots:
        inside = np.clip(1.5 - 1.5 * (((xx - cx) / rx) ** 2 + ((yy - cy) / ry) ** 2), 0, 1)
        weight = (strength * inside)[..., None]
        canvas[:] = canvas * (1 - weight) + np.array(colour, np.float32) * weight


def _paint_background(name: str) -> list[Floats]:
    variants = 1 if name == "white" else _BACKGROUND_VARIANTS
    index = list(world.BACKGROUNDS).index(name)
    return [_paint(name, np.random.default_rng([index, i])) for i in range(variants)]


def _paint(name: str, rng: np.random.Generator) -> Floats:
    size = IMAGE_SIZE
    if name == "white":
        return np.full((size, size, 3), 255, np.float32)
    if name == "blue sky":
        canvas = _gradient([(0, (70, 150, 235)), (1, (165, 215, 250))])
        for _ in range(3):
            x, y = rng.uniform(4, 60), rng.uniform(4, 60)
            puffs = [(x + dx, y + rng.uniform(-1, 1), 6, 3.5) for dx in (-5, 0, 5)]
            _discs(canvas, np.array(puffs), (255, 255, 255), 0.9)
        return canvas
    if name == "green meadow":
        canvas = _gradient([(0, (150, 205, 90)), (1, (70, 150, 45))])
        blades = rng.uniform(0, size, (40, 2))
        _discs(canvas, np.array([(x, y, 1.2, 3.0) for x, y in blades]), (45, 115, 30), 0.45)
        return canvas
    if name == "sandy beach":
        shore = rng.uniform(0.34, 0.4)
        return _gradient(
            [
                (0, (60, 165, 215)),
                (shore, (120, 210, 225)),
                (shore + 0.04, (235, 245, 240)),
                (shore + 0.07, (240, 215, 155)),
                (1, (225, 190, 120)),
            ]
        )
    if name == "starry night":
        canvas = _gradient([(0, (12, 14, 45)), (1, (35, 38, 90))])
        stars = rng.uniform(1, size - 1, (26, 2))
        _discs(canvas, np.array([(x, y, 1.1, 1.1) for x, y in stars]), (255, 250, 215), 0.95)
        return canvas
    if name == "sunset":
        canvas = _gradient(
            [
                (0, (95, 50, 125)),
                (0.45, (225, 95, 85)),
                (0.75, (255, 165, 70)),
                (1, (255, 215, 120)),
            ]
        )
        _discs(canvas, np.array([(rng.uniform(12, 52), 54, 9, 9)]), (255, 245, 190), 0.9)
        return canvas
    if name == "brick wall":
        canvas = np.empty((size, size, 3), np.float32)
        canvas[:] = (205, 190, 178)
        start = int(rng.integers(0, 8))
        for row in range(-1, 9):
            y = row * 8 + start
            for column in range(-1, 5):
                x = column * 16 + (8 if row % 2 else 0)
                tone = np.array((168, 74, 56), np.float32) + rng.uniform(-14, 14)
                canvas[max(y, 0) : max(y + 7, 0), max(x, 0) : max(x + 15, 0)] = tone
        return canvas
    canvas = _gradient([(0, (176, 196, 218)), (0.6, (222, 232, 242)), (1, (244, 248, 252))])
    flakes = rng.uniform(0, size, (34, 2))
    _discs(canvas, np.array([(x, y, 1.5, 1.5) for x, y in flakes]), (255, 255, 255), 0.95)
    return canvas
