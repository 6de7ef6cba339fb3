"""What a misspelt, split, glued or look-alike word may stand for. Ours."""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Iterator, Set

from embedops_redact.words import Stretch

_LOOK_ALIKES = str.maketrans(
    # Cyrillic, then Greek, then other letters that pass for Latin ones, then digits and signs.
    "авекмнорстухіјѕԁһԛԝαβεικνορτυχωɑɡıłøđ0345789@$€£",
    "abekmhopctyxijsdhqwabeiknoptuxwagilodoeastbgasel",
)
_ONES = str.maketrans({"1": "i", "!": "i", "|": "i"}), str.maketrans({"1": "l", "!": "l", "|": "l"})
_SHORTEST_MISSPELT = 4
"""Shorter words are one slip away from too many others."""
_SHORTEST_PART = 3
_SHORTEST_INSIDE = 5
"""Shorter words stand inside too many others by chance."""
_LONGEST_SPELT_OUT = 24


def folded(text: str) -> str:
    """`text` without what a reader does not see: case, accents, width, invisible characters."""
    apart = unicodedata.normalize("NFKD", text).casefold()
    hidden = ("Mn", "Me", "Cf")
    kept = (c for c in apart if unicodedata.category(c) not in hidden and not c.isspace())
    return unicodedata.normalize("NFC", "".join(kept))


def readings(text: str, known: Set[str]) -> tuple[str, ...]:
    """Words that `text` may be a disguise of, besides what it says itself.

    Nothing for a word of the lexicon. Otherwise its folded form; and words of the lexicon that it
    is one slip away from, is glued together from, looks like, or holds inside.

    Args:
        text: a word or a stretch without white space.
        known: lower-case words.
    """
    plain = folded(text)
    if plain in known:
        return () if plain == text else (plain,)
    found = {plain: None} if plain != text else {}
    for form in _forms(plain):
        if form in known:
            found[form] = None
            continue
        found.update(dict.fromkeys(_parts(form, known) or _inside(form, known)))
        found.update(dict.fromkeys(sorted(_slips(form) & known)))
    return tuple(found)


def joined(
    words: tuple[Stretch, ...], longest: int, known: Set[str]
) -> Iterator[tuple[int, int, str]]:
    """Neighbouring words that make one word of the lexicon together, as in "pis tol".

    Runs of single characters ("p i s t o l") are joined whatever their length.

    Yields:
        The index of the first word, that after the last, and the word they make.
    """
    forms = [folded(word.text) for word in words]
    for first in range(len(words)):
        made = forms[first]
        single = len(made) == 1
        for last in range(first + 1, min(len(words), first + _LONGEST_SPELT_OUT)):
            single = single and len(forms[last]) == 1
            if last - first >= longest and not single:
                break
            made += forms[last]
            if made in known:
                yield first, last + 1, made


def _forms(plain: str) -> tuple[str, ...]:
    """`plain` and what it says when look-alikes are read as letters, letters alone."""
    forms = {plain: None}
    for ones in _ONES:
        letters = plain.translate(_LOOK_ALIKES).translate(ones)
        forms["".join(c for c in letters if c.isalpha())] = None
    forms["".join(c for c in plain if c.isalpha())] = None
    return tuple(form for form in forms if form)


def _parts(form: str, known: Set[str]) -> tuple[str, ...]:
    """The words of the lexicon that `form` is glued together from; empty where it is not."""
    # best[i]: the fewest words that end at i.
    best: list[tuple[str, ...] | None] = [()]
    for end in range(1, len(form) + 1):
        options = [
            (*before, form[start:end])
            for start in range(max(0, end - _LONGEST_SPELT_OUT), end - _SHORTEST_PART + 1)
            if (before := best[start]) is not None and form[start:end] in known
        ]
        best.append(min(options, key=len, default=None))
    return best[-1] or ()


def _inside(form: str, known: Set[str]) -> tuple[str, ...]:
    """The longer words of the lexicon that stand inside `form`, as in "xxpistolxx"."""
    return tuple(
        form[start:end]
        for start in range(len(form) - _SHORTEST_INSIDE + 1)
        for end in range(start + _SHORTEST_INSIDE, min(len(form), start + _LONGEST_SPELT_OUT) + 1)
        if form[start:end] in known
    )


def _slips(form: str) -> set[str]:
    """Every string that one dropped, added, replaced or swapped letter away from `form`."""
    if len(form) < _SHORTEST_MISSPELT or len(form) > _LONGEST_SPELT_OUT:
        return set()
    cuts = [(form[:i], form[i:]) for i in range(len(form) + 1)]
    letters = string.ascii_lowercase
    return {
        *(a + b[1:] for a, b in cuts if b),
        *(a + b[1] + b[0] + b[2:] for a, b in cuts if len(b) > 1),
        *(a + c + b[1:] for a, b in cuts if b for c in letters),
        *(a + c + b for a, b in cuts for c in letters),
    }
