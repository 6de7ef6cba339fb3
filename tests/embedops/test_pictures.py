from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from embedops.pictures import (
    Column,
    Mark,
    Row,
    Tile,
    comparison,
    read_about,
    save_gif,
    save_numbered,
    save_png,
)

RED, BLUE = Image.new("RGB", (64, 64), "red"), Image.new("RGB", (64, 64), "blue")
GOOD, BAD = (22, 137, 62), (207, 34, 46)


def count(image: Image.Image, colour: tuple[int, int, int]) -> int:
    return int((np.asarray(image) == colour).all(-1).sum())


def test_every_picture_is_in_the_sheet_at_full_size() -> None:
    row = Row("plain", "as it is", (Tile(RED), Tile(BLUE)))
    sheet = comparison([Column("a"), Column("b")], [row, row], side=128)
    assert count(sheet, (255, 0, 0)) == 2 * 128 * 128
    assert count(sheet, (0, 0, 255)) == 2 * 128 * 128
    assert count(sheet, GOOD) == count(sheet, BAD) == 0


def test_enlarging_by_a_whole_number_keeps_the_pixels() -> None:
    noise = Image.effect_noise((64, 64), 90).convert("RGB")
    sheet = np.asarray(comparison([Column("")], [Row("", "", (Tile(noise),))], side=192))
    tall = np.asarray(noise).repeat(3, 0).repeat(3, 1)
    rows, columns = sheet.shape[0] - 192, sheet.shape[1] - 192
    assert any(
        np.array_equal(sheet[y : y + 192, x : x + 192], tall)
        for y in range(rows)
        for x in range(columns)
    )


@pytest.mark.parametrize("size", [(64, 64), (100, 80), (512, 512)])
def test_pictures_of_any_size_fit(size: tuple[int, int]) -> None:
    row = Row("", "", (Tile(Image.new("RGB", size, "red")),))
    assert count(comparison([Column("")], [row], side=96), (255, 0, 0)) == 96 * 96


def test_one_bad_mark_makes_the_frame_red() -> None:
    def frames(*marks: Mark) -> tuple[bool, bool]:
        sheet = comparison([Column("")], [Row("", "", (Tile(BLUE, marks),))])
        return count(sheet, GOOD) > 2000, count(sheet, BAD) > 2000

    assert frames(Mark("cat", True), Mark("no weapon", True)) == (True, False)
    assert frames(Mark("cat", True), Mark("weapon", False)) == (False, True)


def test_words_of_alarm_are_red() -> None:
    row = [Row("", "", (Tile(BLUE),))]
    assert count(comparison([Column("a dagger, here")], row), BAD) == 0
    assert count(comparison([Column("a Dagger, here", frozenset({"dagger"}))], row), BAD) > 0


def test_long_texts_wrap_instead_of_running_out() -> None:
    row = Row("a very long name of a method " * 3, "and a long note " * 9, (Tile(BLUE),))
    sheet = np.asarray(comparison([Column("a long prompt " * 6)], [row], title="long " * 40))
    assert (sheet[:, -8:] == 255).all()
    assert (sheet[-6:] == 255).all()


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="row 'plain' has 1 tiles for 2 columns"):
        comparison([Column("a"), Column("b")], [Row("plain", "", (Tile(RED),))])


def test_metadata_comes_back(tmp_path: Path) -> None:
    about = {"prompt": "naïve ✓ 猫", "embedops": '{"steps": 20}', "Software": "embedops"}
    path = save_png(RED, tmp_path / "new" / "a.png", about)
    assert read_about(path) == about


def test_numbers_go_on_and_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "0007-old.png").write_bytes(b"precious")
    assert save_numbered([RED], tmp_path, "cat", {}).name == "0008-cat.png"
    assert (tmp_path / "0007-old.png").read_bytes() == b"precious"


def test_writers_at_the_same_time_get_files_of_their_own(tmp_path: Path) -> None:
    def save(number: int) -> Path:
        return save_numbered([RED.copy()], tmp_path, "cat", {"i": str(number)})

    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(save, range(40)))
    assert len(set(paths)) == 40
    assert {read_about(path)["i"] for path in paths} == {str(i) for i in range(40)}


def test_several_frames_make_moving_pictures(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), (30 * k, 0, 0)) for k in range(4)]
    numbered = save_numbered(frames, tmp_path, "cat", {"prompt": "a cat"})
    assert read_about(numbered)["prompt"] == "a cat"
    for path in (numbered, save_gif(frames, tmp_path / "new" / "cat.gif", "made by us")):
        with Image.open(path) as moving:
            assert moving.n_frames == 4  # type: ignore[attr-defined]  # of animated formats
            assert moving.info["loop"] == 0
    with Image.open(tmp_path / "new" / "cat.gif") as moving:
        assert moving.info["comment"] == b"made by us"
