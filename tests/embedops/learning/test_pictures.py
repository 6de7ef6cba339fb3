from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from embedops import ConfigError
from embedops.learning.pictures import read_pictures


def draw(path: Path, size: tuple[int, int] = (40, 40), colour: str = "red") -> Path:
    Image.new("RGB", size, colour).save(path)
    return path


def test_any_size_and_format_with_captions_and_masks(tmp_path: Path) -> None:
    draw(tmp_path / "b.jpg", (90, 40))
    draw(tmp_path / "a.webp", (40, 70), "blue")
    (tmp_path / "a.txt").write_text(" a blue thing \n")
    draw(tmp_path / "a-mask.png", (40, 70), "white")
    draw(tmp_path / "b-mask.png", (90, 40), "white")
    (tmp_path / "notes.md").write_text("not a picture")
    first, second = read_pictures(tmp_path, 32, masks=tmp_path)
    assert (first.name, second.name) == ("a.webp", "b.jpg")
    assert first.caption == "a blue thing"
    assert second.caption is None
    assert first.pixels.shape == second.pixels.shape == (3, 32, 32)
    assert float(second.pixels[0].mean()) > 0.9 > -0.9 > float(first.pixels[0].mean())
    assert first.mask is not None
    assert torch.equal(first.mask, torch.ones(1, 32, 32))


def test_a_camera_held_sideways(tmp_path: Path) -> None:
    image = Image.new("RGB", (32, 32), "black")
    image.paste("white", (0, 0, 32, 8))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees, clockwise
    image.save(tmp_path / "a.png", exif=exif)
    (picture,) = read_pictures(tmp_path, 32)
    assert float(picture.pixels[:, :, -8:].min()) > 0.9
    assert float(picture.pixels[:, :, :8].max()) < -0.9


def test_bad_input(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no pictures in"):
        read_pictures(tmp_path, 32)
    with pytest.raises(ConfigError, match="no folder"):
        read_pictures(tmp_path / "nowhere", 32)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    with pytest.raises(ConfigError, match=r"broken\.png cannot be read"):
        read_pictures([broken], 32)
    with pytest.raises(ConfigError, match="8x40 pixels; at least 16"):
        read_pictures([draw(tmp_path / "thin.png", (8, 40))], 32)


def test_masks_that_do_not_match(tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    picture = [draw(tmp_path / "a.png")]
    with pytest.raises(ConfigError, match=r"no mask for a\.png"):
        read_pictures(picture, 32, masks)
    draw(masks / "a.png", (20, 40), "white")
    with pytest.raises(ConfigError, match="20x40 pixels and its picture 40x40"):
        read_pictures(picture, 32, masks)
    draw(masks / "a.png", (40, 40), "black")
    with pytest.raises(ConfigError, match="marks nothing"):
        read_pictures(picture, 32, masks)
