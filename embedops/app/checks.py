"""What visitors type and drop, checked before any work begins."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from embedops.errors import ConfigError, UnknownNameError
from embedops.learning.pictures import SMALLEST, SUFFIXES

LONGEST = 1000
"""Characters of a prompt."""
MOST_PROMPTS = 4
MOST_PHRASES, LONGEST_PHRASE = 20, 100
MOST_GUIDANCE = 20
MOST_PICTURES, MOST_PIXELS = 12, 20_000_000


def prompts(text: str, most: int = MOST_PROMPTS) -> list[str]:
    """The prompts in a text box, one a line.

    Raises:
        ConfigError: there is none, too many, or one is too long.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise ConfigError("the prompt is empty. Write what the picture should show.")
    if len(lines) > most:
        raise ConfigError(f"{len(lines)} prompts were given, one a line; at most {most} fit here.")
    for line in lines:
        if len(line) > LONGEST:
            raise ConfigError(
                f"the prompt has {len(line)} characters; at most {LONGEST} are taken here."
            )
    return lines


def prompt(text: str) -> str:
    """The one prompt in a text box.

    Raises:
        ConfigError: there is none, or it is too long.
    """
    return prompts(" ".join(text.split()), 1)[0]


def phrases(text: str) -> tuple[str, ...]:
    """Phrases divided by commas or lines.

    Raises:
        ConfigError: there are too many, or one is too long.
    """
    found = [part.strip() for part in re.split(r"[,\n]", text) if part.strip()]
    if len(found) > MOST_PHRASES:
        raise ConfigError(
            f"{len(found)} phrases were given; at most {MOST_PHRASES} are taken here."
        )
    for phrase in found:
        if len(phrase) > LONGEST_PHRASE:
            raise ConfigError(
                f"the phrase {phrase[:30]!r}… has {len(phrase)} characters; at most "
                f"{LONGEST_PHRASE} are taken. Divide phrases by commas."
            )
    return tuple(found)


def wanted(concepts: Sequence[str], own: str) -> dict[str, tuple[str, ...]]:
    """Presets and phrases as settings of a plugin.

    Raises:
        ConfigError: neither was given.
    """
    given = {"concepts": tuple(concepts), "phrases": phrases(own)}
    given = {key: value for key, value in given.items() if value}
    if not given:
        raise ConfigError("no concept was given. Choose a preset, or write words of your own.")
    return given


def count(value: object, most: int, what: str) -> int:
    """A number of things from a slider.

    Raises:
        ConfigError: it is none, or out of range.
    """
    if not isinstance(value, int | float) or not 1 <= value <= most:
        raise ConfigError(f"{what}: expected 1 to {most}, got {value!r}.")
    return int(value)


def seed(value: object) -> int:
    """A seed from a number box.

    Raises:
        ConfigError: it is none.
    """
    if not isinstance(value, int | float) or not 0 <= value < 2**31:
        raise ConfigError(f"the seed is {value!r}: expected a whole number from 0 on.")
    return int(value)


def guidance(value: object) -> float:
    """A guidance scale from a slider.

    Raises:
        ConfigError: it is none.
    """
    if not isinstance(value, int | float) or not 0 <= value <= MOST_GUIDANCE:
        raise ConfigError(f"the guidance is {value!r}: expected 0 to {MOST_GUIDANCE}.")
    return float(value)


def listed(value: object) -> list[str]:
    """The choices of a control that takes several."""
    return [str(one) for one in value] if isinstance(value, list | tuple) else []


def known(kind: str, value: object, choices: Iterable[str]) -> str:
    """A choice, made sure of: what a browser sends need not be on the list.

    Raises:
        UnknownNameError: it is not.
    """
    names = list(choices)
    if value not in names:
        raise UnknownNameError.of(kind, str(value), names)
    return str(value)


def pictures(files: Sequence[str | Path]) -> list[Path]:
    """Pictures that were dropped.

    Raises:
        ConfigError: there is none, too many, or one is no picture that can be read.
    """
    paths = [Path(file) for file in files]
    if not paths:
        raise ConfigError("no pictures were given. Drop a few, or choose a subject.")
    if len(paths) > MOST_PICTURES:
        raise ConfigError(f"{len(paths)} pictures were given; at most {MOST_PICTURES} are taken.")
    for path in paths:
        if path.suffix.lower() not in SUFFIXES:
            raise ConfigError(f"{path.name} is no picture: expected {', '.join(SUFFIXES)}.")
        try:
            with Image.open(path) as image:
                wide, high = image.size
                if min(wide, high) < SMALLEST:
                    raise ConfigError(
                        f"{path.name} has {wide}x{high} pixels; at least {SMALLEST} on each side "
                        f"are needed."
                    )
                if wide * high > MOST_PIXELS:
                    raise ConfigError(
                        f"{path.name} has {wide}x{high} pixels; at most "
                        f"{MOST_PIXELS // 1_000_000} million are taken. Make it smaller."
                    )
                image.load()
        except ConfigError:
            raise
        except (OSError, UnidentifiedImageError, ValueError, Image.DecompressionBombError) as error:
            raise ConfigError(
                f"{path.name} cannot be read as a picture. It may be damaged: leave it out, or "
                f"save it anew."
            ) from error
    return paths
