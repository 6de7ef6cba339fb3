"""A prompt as words with their places in it, whatever the script."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

_JOINERS = frozenset("'’")
"""Marks that hold a word together where letters stand on both sides."""
_PUNCTUATION = ".,;:!?…()\"'“”‘’«»、。，"
_NO_SPACE = re.compile(r"\S+")


@dataclass(frozen=True, order=True)
class Stretch:
    """A part of a prompt: `text` is `prompt[start:end]`, counted in characters."""

    start: int
    end: int
    text: str

    def covers(self, other: Stretch) -> bool:
        """Whether `other` lies inside this one."""
        return self.start <= other.start and other.end <= self.end


def words_of(prompt: str) -> tuple[Stretch, ...]:
    """The words of `prompt`, in reading order.

    A word is a run of letters, digits and the marks on them, an apostrophe between two letters
    included. Ideographs and kana are words of their own, since their scripts put no space between
    words; so is every run of other symbols, such as an emoji with its modifiers. Spaces and
    punctuation belong to no word. Offsets count the characters of the string as it is stored, in
    which right-to-left text needs no special care.
    """
    kinds = list(_kinds(prompt))
    words: list[Stretch] = []
    start = 0
    for position in range(1, len(prompt) + 1):
        if position < len(prompt) and kinds[position] == kinds[start]:
            continue
        if kinds[start]:
            words.append(Stretch(start, position, prompt[start:position]))
        start = position
    return tuple(words)


def spans_of(prompt: str, words: tuple[Stretch, ...], length: int) -> tuple[Stretch, ...]:
    """Every stretch of `length` neighbouring words of `prompt`, with what stands between them."""
    return tuple(
        Stretch(first.start, last.end, prompt[first.start : last.end])
        for first, last in zip(words, words[length - 1 :], strict=False)
    )


def chunks_of(prompt: str) -> tuple[Stretch, ...]:
    """What stands between white space, without punctuation at its two ends, where it holds words.

    A placeholder such as "<teapot>" keeps its brackets: with them it is a token of its own.
    """
    chunks: list[Stretch] = []
    for found in _NO_SPACE.finditer(prompt):
        text = found.group()
        start = found.start() + len(text) - len(text.lstrip(_PUNCTUATION))
        text = text.strip(_PUNCTUATION)
        if words_of(text):
            chunks.append(Stretch(start, start + len(text), text))
    return tuple(chunks)


def spoken(stretch: Stretch) -> str:
    """The words of a stretch with single spaces between them."""
    return " ".join(word.text for word in words_of(stretch.text))


def _kinds(prompt: str) -> Iterator[str]:
    """Per character what it is part of: letters, symbols, one ideograph, or nothing."""
    previous = ""
    for position, character in enumerate(prompt):
        category = unicodedata.category(character)
        if category[0] == "M" or category == "Cf":
            kind = previous  # accents, joiners, invisible characters belong to what they follow
        elif category[0] in "LN":
            wide = unicodedata.east_asian_width(character) == "W" and category == "Lo"
            hangul = "HANGUL" in unicodedata.name(character, "")
            kind = f"ideograph {position}" if wide and not hangul else "letter"
        elif character in _JOINERS:
            beyond = prompt[position + 1 : position + 2]
            kind = "letter" if previous == "letter" and beyond.isalpha() else ""
        elif category[0] == "S" and not character.isascii():
            kind = "symbol"
        elif category in ("Co", "Cn"):
            kind = (
                "symbol"  # private and unassigned characters are tokens to the encoder all the same
            )
        else:
            kind = ""
        previous = kind
        yield kind
