"""Pictures for people: labelled comparisons, and PNG files that say how they were made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

Colour = tuple[int, int, int]

_PAPER: Colour = (255, 255, 255)
_INK: Colour = (24, 28, 36)
_FAINT: Colour = (102, 109, 122)
_GOOD: Colour = (22, 137, 62)
_BAD: Colour = (207, 34, 46)

_GAP = 14
_FRAME = 5
_TITLE, _HEADING, _TEXT, _SMALL = 28, 21, 17, 15
_LABEL_WIDTH, _LABEL_GAP = 236, 8
_LEADING = 1.28

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Mark:
    """A short judgement: green with a tick where `good`, else red with a cross."""

    text: str
    good: bool


@dataclass(frozen=True, eq=False)
class Tile:
    """One picture and what is to be said of it. Its frame is green if all marks are good, red if
    one is not, and absent without marks."""

    image: Image.Image
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, eq=False)
class Row:
    """A row of a comparison: its label at the left, then one tile a column."""

    title: str
    note: str
    tiles: tuple[Tile, ...]
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True)
class Column:
    """The heading of a column; words of `alarm` are drawn red."""

    text: str
    alarm: frozenset[str] = frozenset()


def comparison(
    columns: Sequence[Column],
    rows: Sequence[Row],
    *,
    title: str = "",
    note: str = "",
    side: int = 192,
) -> Image.Image:
    """A labelled grid of pictures.

    Args:
        columns: what each column shows, such as a prompt.
        rows: the pictures, row by row.
        title: a line above everything.
        note: small print below it.
        side: width and height of every picture in pixels. Pictures that fit a whole number of
            times are enlarged pixel by pixel, others are resampled.

    Raises:
        ValueError: a row has another number of tiles than there are columns.
    """
    for row in rows:
        if len(row.tiles) != len(columns):
            raise ValueError(
                f"row {row.title!r} has {len(row.tiles)} tiles for {len(columns)} columns."
            )
    step = side + 2 * _FRAME + _GAP
    width = _GAP + _LABEL_WIDTH + step * len(columns)
    inner = width - 2 * _GAP
    title_lines = _wrap(title, _font(_TITLE), inner)
    note_lines = _wrap(note, _font(_SMALL), inner)
    headings = [_wrap(c.text, _font(_TEXT), side + _FRAME) for c in columns]
    talls = [_row_height(row, side) for row in rows]

    top = _GAP + _height(len(title_lines), _TITLE) + _height(len(note_lines), _SMALL)
    top += _GAP if title_lines or note_lines else 0
    head = _height(max((len(h) for h in headings), default=0), _TEXT) + _GAP // 2
    sheet = Image.new("RGB", (width, top + head + sum(talls) + _GAP // 2), _PAPER)
    draw = ImageDraw.Draw(sheet)

    y = _lines(draw, (_GAP, _GAP), title_lines, _TITLE, _INK, bold=True)
    _lines(draw, (_GAP, y), note_lines, _SMALL, _FAINT)
    for index, (column, lines) in enumerate(zip(columns, headings, strict=True)):
        x = _GAP + _LABEL_WIDTH + step * index
        bottom = top + head - _GAP // 2
        _heading(draw, (x, bottom - _height(len(lines), _TEXT)), lines, column.alarm)
    y = top + head
    for row, tall in zip(rows, talls, strict=True):
        _label(draw, (_GAP, y), row)
        for index, tile in enumerate(row.tiles):
            _tile(sheet, draw, (_GAP + _LABEL_WIDTH + step * index, y), tile, side)
        y += tall
    return sheet


def save_png(image: Image.Image, path: Path, about: Mapping[str, str]) -> Path:
    """Write `image` to `path` with `about` as its text metadata, replacing what is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, "PNG", pnginfo=_metadata(about))
    return path


def save_gif(frames: Sequence[Image.Image], path: Path, about: str) -> Path:
    """Write `frames` to `path` as a GIF that loops, with a comment inside."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frames[0].save(path, "GIF", comment=about.encode(), **_moving(frames))
    return path


def save_numbered(
    frames: Sequence[Image.Image], folder: Path, stem: str, about: Mapping[str, str]
) -> Path:
    """Write a picture, or the frames of a moving one, as `NNNN-stem.png`, with the first number
    above those in `folder`. Several frames make an animated PNG.

    Nothing is overwritten, also where several processes write to one folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    taken = [int(p.name[:4]) for p in folder.glob("[0-9][0-9][0-9][0-9]-*.png")]
    number = max(taken, default=0) + 1
    while True:
        path = folder / f"{number:04d}-{stem}.png"
        try:
            with path.open("xb") as file:
                frames[0].save(file, "PNG", pnginfo=_metadata(about), **_moving(frames))
        except FileExistsError:
            number += 1
        else:
            return path


def read_about(path: Path) -> dict[str, str]:
    """The text metadata of a PNG file."""
    with Image.open(path) as image:
        image.load()
        return {str(key): value for key, value in image.info.items() if isinstance(value, str)}


def _moving(frames: Sequence[Image.Image], seconds: float = 1.2) -> dict[str, Any]:
    """What makes a file of several frames loop, `seconds` a round; nothing for one frame."""
    if len(frames) == 1:
        return {}
    duration = round(1000 * seconds / len(frames))
    return {"save_all": True, "append_images": frames[1:], "duration": duration, "loop": 0}


def _metadata(about: Mapping[str, str]) -> PngInfo:
    info = PngInfo()
    for key, value in about.items():
        info.add_itxt(key, value)
    return info


def _font(size: int) -> Font:
    return ImageFont.load_default(size)


def _height(lines: int, size: int) -> int:
    return round(lines * size * _LEADING)


def _wrap(text: str, font: Font, width: int) -> list[str]:
    """`text` in lines no wider than `width`, cut between words; a newline starts a new one."""
    lines: list[str] = []
    for paragraph in text.split("\n") if text else []:
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}".strip()
            if line and font.getlength(longer) > width:
                lines.append(line)
                line = word
            else:
                line = longer
        lines.append(line)
    return lines


def _lines(
    draw: ImageDraw.ImageDraw,
    at: tuple[int, int],
    lines: Sequence[str],
    size: int,
    colour: Colour,
    *,
    bold: bool = False,
) -> int:
    """Draw `lines` from `at` down; the y below the last one."""
    x, y = at
    for number, line in enumerate(lines):
        # Pillow's own typeface has one weight; a thin outline serves as the bold one.
        draw.text(
            (x, y + _height(number, size)),
            line,
            fill=colour,
            font=_font(size),
            stroke_width=0.6 if bold else 0,
        )
    return y + _height(len(lines), size)


def _heading(
    draw: ImageDraw.ImageDraw, at: tuple[int, int], lines: Sequence[str], alarm: frozenset[str]
) -> None:
    font = _font(_TEXT)
    for number, line in enumerate(lines):
        x: float = at[0]
        y = at[1] + _height(number, _TEXT)
        for word in line.split():
            red = word.strip(".,;:!?").lower() in alarm
            draw.text((x, y), word, fill=_BAD if red else _INK, font=font, stroke_width=0.6 * red)
            x += font.getlength(f"{word} ")


def _label_lines(row: Row) -> tuple[list[str], list[str]]:
    width = _LABEL_WIDTH - _GAP
    return _wrap(row.title, _font(_HEADING), width), _wrap(row.note, _font(_SMALL), width)


def _row_height(row: Row, side: int) -> int:
    title, note = _label_lines(row)
    label = _height(len(title) + len(row.marks), _HEADING) + _height(len(note), _SMALL) + _LABEL_GAP
    marks = max((len(tile.marks) for tile in row.tiles), default=0)
    return max(side + 2 * _FRAME + _height(marks, _TEXT), label) + _GAP


def _label(draw: ImageDraw.ImageDraw, at: tuple[int, int], row: Row) -> None:
    x, y = at
    title, note = _label_lines(row)
    y = _lines(draw, (x, y), title, _HEADING, _INK, bold=True)
    y = _lines(draw, (x, y), note, _SMALL, _FAINT)
    for number, mark in enumerate(row.marks):
        _mark(draw, (x, y + _LABEL_GAP + _height(number, _HEADING)), mark, _HEADING)


def _tile(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, at: tuple[int, int], tile: Tile, side: int
) -> None:
    x, y = at
    if tile.marks:
        colour = _GOOD if all(mark.good for mark in tile.marks) else _BAD
        corner = (x + side + 2 * _FRAME - 1, y + side + 2 * _FRAME - 1)
        draw.rectangle(((x, y), corner), fill=colour)
    sheet.paste(_enlarged(tile.image.convert("RGB"), side), (x + _FRAME, y + _FRAME))
    for number, mark in enumerate(tile.marks):
        below = y + side + 2 * _FRAME + 3 + _height(number, _TEXT)
        _mark(draw, (x, below), mark, _TEXT)


def _enlarged(image: Image.Image, side: int) -> Image.Image:
    whole = all(side % length == 0 for length in image.size)
    way = Image.Resampling.NEAREST if whole else Image.Resampling.LANCZOS
    return image.resize((side, side), way)


def _mark(draw: ImageDraw.ImageDraw, at: tuple[int, int], mark: Mark, size: int) -> None:
    x, y = at
    colour = _GOOD if mark.good else _BAD
    # Drawn as lines, because Pillow's own typeface has neither sign.
    unit = size / 17

    def point(across: float, down: float) -> tuple[float, float]:
        return x + across * unit, y + (down + 3) * unit

    width = round(2.6 * unit)
    if mark.good:
        draw.line((point(1, 7), point(5, 11), point(12, 2)), fill=colour, width=width)
    else:
        draw.line((point(2, 2), point(11, 11)), fill=colour, width=width)
        draw.line((point(11, 2), point(2, 11)), fill=colour, width=width)
    draw.text((x + 18 * unit, y), mark.text, fill=colour, font=_font(size))
