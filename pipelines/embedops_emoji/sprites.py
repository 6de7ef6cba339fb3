"""The sprite atlas: every object in three styles, as one small picture file.

`atlas.webp` is rendered once from the Fluent Emoji vector sets (MIT, see `licenses/`)
and shipped, so that neither training nor rendering needs the sets themselves.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter

from embedops_emoji import world

ASSETS = Path(__file__).parent / "assets"
ATLAS = ASSETS / "atlas.webp"
SPRITE_SIZE = 72
"""Side of a sprite in the atlas, in pixels; the largest that a 64-pixel scene needs."""

RENDER_SIZE = 128
ICON_SETS = {
    "3d": "fluent-emoji",
    "flat": "fluent-emoji-flat",
    "silhouette": "fluent-emoji-high-contrast",
}

Pixels = npt.NDArray[np.uint8]


def load_atlas(path: Path = ATLAS) -> dict[tuple[str, str], Image.Image]:
    """Read the atlas.

    Returns:
        (object name, style) to an RGBA sprite of :data:`SPRITE_SIZE` pixels a side.

    Raises:
        ValueError: the picture's size does not fit the world's objects and styles.
    """
    columns, rows = len(world.STYLES), len(world.ALL_OBJECTS)
    expected = (columns * SPRITE_SIZE, rows * SPRITE_SIZE)
    with Image.open(path) as opened:
        atlas = opened.convert("RGBA")
    if atlas.size != expected:
        raise ValueError(
            f"{path} is {atlas.size} pixels, expected {expected} for {rows} objects in {columns} "
            "styles; rebuild it with `python -m embedops_emoji.train sprites`"
        )
    sprites = {}
    for row, name in enumerate(world.ALL_OBJECTS):
        for column, style in enumerate(world.STYLES):
            x, y = column * SPRITE_SIZE, row * SPRITE_SIZE
            sprites[name, style] = atlas.crop((x, y, x + SPRITE_SIZE, y + SPRITE_SIZE))
    return sprites


def build_atlas(icon_root: Path, out: Path = ATLAS) -> Path:
    """Render the atlas from unpacked `@iconify-json` packages.

    Args:
        icon_root: folder with `fluent-emoji/icons.json` and its two sister sets.
        out: file to write (lossless WebP).

    Raises:
        FileNotFoundError: a set is missing.
        KeyError: a set lacks one of the world's sprites.
    """
    sets = {}
    for style, folder in ICON_SETS.items():
        path = icon_root / folder / "icons.json"
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} is missing; unpack the npm package @iconify-json/{folder} there"
            )
        sets[style] = json.loads(path.read_text(encoding="utf-8"))
    columns, rows = len(world.STYLES), len(world.ALL_OBJECTS)
    atlas = Image.new("RGBA", (columns * SPRITE_SIZE, rows * SPRITE_SIZE))
    for row, thing in enumerate(world.ALL_OBJECTS.values()):
        for column, style in enumerate(world.STYLES):
            sprite = _rasterise(sets[style], thing.sprite)
            if thing.name == "pistol" and style != "silhouette":
                # The sets only have a green toy; grey metal is what "handgun" should show.
                sprite = _gunmetal(sprite)
            if style == "silhouette":
                sprite = _sticker(sprite)
            sprite = sprite.resize((SPRITE_SIZE, SPRITE_SIZE), Image.Resampling.LANCZOS)
            atlas.paste(sprite, (column * SPRITE_SIZE, row * SPRITE_SIZE))
    out.parent.mkdir(parents=True, exist_ok=True)
    atlas.save(out, lossless=True, method=6)
    return out


def _rasterise(icon_set: dict[str, object], name: str) -> Image.Image:
    import resvg_py  # only needed to rebuild the atlas

    icons = icon_set["icons"]
    if not isinstance(icons, dict) or name not in icons:
        raise KeyError(f"icon set {icon_set.get('prefix')!r} has no icon {name!r}")
    icon = icons[name]
    width = icon.get("width", icon_set.get("width", 32))
    height = icon.get("height", icon_set.get("height", 32))
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{icon.get("left", 0)} {icon.get("top", 0)} {width} {height}">'
        f"{icon['body'].replace('currentColor', '#111')}</svg>"
    )
    png = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=RENDER_SIZE, height=RENDER_SIZE))
    return Image.open(io.BytesIO(png)).convert("RGBA")


def _gunmetal(sprite: Image.Image) -> Image.Image:
    alpha = sprite.getchannel("A")
    grey = ImageEnhance.Color(sprite.convert("RGB")).enhance(0.0)
    grey = ImageEnhance.Brightness(grey).enhance(0.62)
    grey.putalpha(alpha)
    return grey


def _sticker(sprite: Image.Image) -> Image.Image:
    """Fill the line art with white and give it a thin white rim.

    Black lines alone vanish on a dark background, and their holes show the bricks behind.
    """
    alpha = sprite.getchannel("A")
    solid = alpha.point([0 if a < 100 else 255 for a in range(256)])
    padded = Image.new("L", (RENDER_SIZE + 2, RENDER_SIZE + 2), 0)
    padded.paste(solid, (1, 1))
    ImageDraw.floodfill(padded, (0, 0), 128)
    outside = padded.crop((1, 1, RENDER_SIZE + 1, RENDER_SIZE + 1))
    body = outside.point([0 if a == 128 else 255 for a in range(256)])
    rim = body.filter(ImageFilter.MaxFilter(7)).filter(ImageFilter.GaussianBlur(1.0))
    white = Image.new("RGBA", sprite.size, (255, 255, 255, 0))
    white.putalpha(ImageChops.lighter(rim, alpha))
    return Image.alpha_composite(white, sprite)
