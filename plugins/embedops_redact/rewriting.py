"""A prompt with some of its stretches replaced by a neutral word. Ours."""

from __future__ import annotations

import re
from collections.abc import Iterable

from embedops_redact.words import Stretch, words_of

_ARTICLE = re.compile(r"(?<!\w)(an?)(\s+)$", re.IGNORECASE)
_BARE = frozenset("something anything nothing someone anyone nobody a an the".split())
"""Words that take no article."""


def merged(prompt: str, stretches: Iterable[Stretch]) -> tuple[Stretch, ...]:
    """Stretches that overlap, or that only white space separates, made one; in order."""
    result: list[Stretch] = []
    for one in sorted(stretches):
        last = result[-1] if result else None
        if last is not None and not prompt[last.end : one.start].strip():
            end = max(last.end, one.end)
            result[-1] = Stretch(last.start, end, prompt[last.start : end])
        else:
            result.append(one)
    return tuple(result)


def rewritten(prompt: str, stretches: Iterable[Stretch], neutral: str) -> str:
    """`prompt` with each stretch replaced by `neutral`, or left out where that is empty.

    An indefinite article before the stretch is made to fit: "a pistol" becomes "an object",
    "an axe" becomes "something", and the article goes with a word that is left out. Everything else
    stays character by character, and with no stretches the prompt is returned as it is.
    """
    parts: list[str] = []
    done = 0
    for stretch in merged(prompt, stretches):
        before = prompt[done : stretch.start]
        article = _ARTICLE.search(before)
        if article is not None:
            before = before[: article.start()] + _fitting(article, neutral)
        after = prompt[stretch.end : stretch.end + 1]
        done = stretch.end
        if not neutral and not after:
            before = before.rstrip(" ")
        elif not neutral and after == " " and before[-1:] in ("", " "):
            done += 1
        parts += [before, _apart(before, neutral, after)]
    return "".join([*parts, prompt[done:]]) if parts else prompt


def _fitting(article: re.Match[str], neutral: str) -> str:
    """The article and the space after it, as `neutral` needs them."""
    words = words_of(neutral)
    if not words or words[0].text.casefold() in _BARE or not article.group(1):
        return ""
    chosen = "an" if words[0].text[0].casefold() in "aeiou" else "a"
    if article.group(1)[0].isupper():
        chosen = chosen.capitalize()
    return chosen + article.group(2)


def _apart(before: str, neutral: str, after: str) -> str:
    """`neutral` with a space on the sides where a word stands against it, as in "🔫cat"."""
    if not neutral:
        return neutral
    touching = any(word.end == len(before) for word in words_of(before))
    return f"{' ' if touching else ''}{neutral}{' ' if words_of(after) else ''}"
