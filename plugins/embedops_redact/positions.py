"""Where in a text encoder's sequence the words of a prompt begin."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate

from embedops.streams import Role, TextStream
from embedops_redact.words import Stretch

_BOUNDARIES = str.maketrans("", "", "▁Ġ")
"""How sentence-piece and byte-level tokenizers write a space."""


class Alignment:
    """One prompt beside the tokens that a stream made of it, matched by their characters."""

    def __init__(self, stream: TextStream, row: int, prompt: str) -> None:
        written = _plain(prompt)
        # Letters that count before each character of the prompt.
        self._before = list(accumulate((len(_plain(c)) for c in prompt), initial=0))
        self._positions: list[int] = []
        self._starts: list[int] = []
        passed = 0
        for position in stream.positions(row, Role.CONTENT):
            token = _plain(stream.tokens[row][position].translate(_BOUNDARIES))
            if not written.startswith(token, passed):
                break  # bytes of another script
            if token:
                self._positions.append(position)
                self._starts.append(passed)
                passed += len(token)
        self._end = passed

    def position_of(self, stretch: Stretch) -> int | None:
        """The position of the token in which `stretch` of the prompt begins.

        None where the sequence ends before it, or where the tokens up to it are not written like
        the prompt.
        """
        start = self._before[stretch.start]
        if start >= self._end:
            return None
        return self._positions[bisect_right(self._starts, start) - 1]


def _plain(text: str) -> str:
    return "".join(text.casefold().split())
