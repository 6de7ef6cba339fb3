"""The pictures that a concept is learnt from, with their captions and masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from embedops.errors import ConfigError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
SMALLEST = 16
"""Pixels on the shorter side below which nothing can be learnt."""


@dataclass(frozen=True, eq=False)
class Picture:
    """One training picture.

    Attributes:
        name: its file's name.
        pixels: RGB in -1..1, `[3, size, size]`.
        caption: what a text file of the same name says; None where there is none.
        mask: 1 on the subject, `[1, size, size]`; None where there is none.
    """

    name: str
    pixels: Tensor
    caption: str | None = None
    mask: Tensor | None = None


def read_pictures(
    images: Path | Sequence[Path], size: int, masks: Path | None = None
) -> list[Picture]:
    """Read pictures in name order, turned as their EXIF says, cropped square in the middle.

    Args:
        images: a folder or files; in a folder, names that end in `-mask` are left out.
        size: the side in pixels that they are scaled to.
        masks: a folder with one mask a picture, called like it or with `-mask` after its name;
            white is the subject.

    Raises:
        ConfigError: there is no picture, one cannot be read or is tiny, or the masks do not match.
    """
    files = _files(images)
    if not files:
        raise ConfigError(
            f"no pictures in {images}: expected files that end in {', '.join(SUFFIXES)}."
        )
    pictures = []
    for file in files:
        image = _opened(file).convert("RGB")
        if min(image.size) < SMALLEST:
            raise ConfigError(
                f"{file} has {image.width}x{image.height} pixels; at least {SMALLEST} on each side "
                f"are needed. Leave it out or give a larger one."
            )
        mask = None if masks is None else _mask(masks, file, image.size, size)
        pixels = _scaled(image, size).float().div(127.5).sub(1)
        said = file.with_suffix(".txt")
        caption = said.read_text(encoding="utf-8").strip() if said.is_file() else None
        pictures.append(Picture(file.name, pixels, caption or None, mask))
    return pictures


def _files(images: Path | Sequence[Path]) -> list[Path]:
    if not isinstance(images, Path):
        return [Path(file) for file in images]
    if images.is_file():
        return [images]
    if not images.is_dir():
        raise ConfigError(f"there is no folder {images}. Give a folder of pictures.")
    return sorted(
        file
        for file in images.iterdir()
        if file.suffix.lower() in SUFFIXES and not file.stem.endswith("-mask")
    )


def _opened(file: Path) -> Image.Image:
    try:
        with Image.open(file) as image:
            image.load()
            return ImageOps.exif_transpose(image)
    except (OSError, UnidentifiedImageError, ValueError, Image.DecompressionBombError) as error:
        raise ConfigError(
            f"{file} cannot be read as a picture: {error}. Leave it out or save it anew."
        ) from error


def _mask(folder: Path, file: Path, size: tuple[int, int], side: int) -> Tensor:
    names = [f"{stem}{suffix}" for stem in (file.stem, f"{file.stem}-mask") for suffix in SUFFIXES]
    found = [folder / n for n in names if (folder / n).is_file() and folder / n != file]
    if not found:
        raise ConfigError(
            f"{folder} has no mask for {file.name}: expected {file.stem}-mask.png or a file of the "
            f"picture's own name. Give one for each picture, or leave the masks out."
        )
    image = _opened(found[0]).convert("L")
    if image.size != size:
        raise ConfigError(
            f"the mask {found[0]} has {image.width}x{image.height} pixels and its picture "
            f"{size[0]}x{size[1]}. Masks need the size of their pictures."
        )
    mask = (_scaled(image, side).float() / 255 > 0.5).float()
    if not bool(mask.any()):
        raise ConfigError(f"the mask {found[0]} marks nothing: white must be the subject.")
    return mask


def _scaled(image: Image.Image, size: int) -> Tensor:
    fitted = ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS)
    array = np.asarray(fitted)
    return torch.from_numpy(array.copy()).reshape(size, size, -1).permute(2, 0, 1)
