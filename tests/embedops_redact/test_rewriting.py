from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedops_redact.rewriting import merged, rewritten
from embedops_redact.words import Stretch, words_of


def stretches(prompt: str, *texts: str) -> list[Stretch]:
    return [Stretch(i, i + len(t), t) for t in texts if (i := prompt.index(t)) >= 0]


@given(st.text(), st.sampled_from(["thing", "", "an object"]))
def test_nothing_to_replace_changes_nothing(prompt: str, neutral: str) -> None:
    assert rewritten(prompt, [], neutral) == prompt


@given(st.text(st.characters(exclude_characters="'’")), st.data())
def test_words_outside_the_stretches_stay(prompt: str, data: st.DataObject) -> None:
    words = words_of(prompt)
    if not words:
        return
    taken = data.draw(st.lists(st.sampled_from(words), max_size=4, unique=True))
    result = [w.text for w in words_of(rewritten(prompt, taken, "zzz"))]
    articles = {"a", "an", "A", "An", "AN", "aN"}
    kept = [w.text for w in words if w not in taken and w.text not in articles]
    assert [w for w in result if w != "zzz" and w not in articles] == kept


@pytest.mark.parametrize(
    ("prompt", "words", "neutral", "expected"),
    [
        ("a pistol on snow", ["pistol"], "thing", "a thing on snow"),
        ("a pistol on snow", ["pistol"], "object", "an object on snow"),
        ("An axe", ["axe"], "thing", "A thing"),
        ("an axe", ["axe"], "something", "something"),
        ("the gun", ["gun"], "thing", "the thing"),
        ("a pistol and a cat", ["pistol"], "", "and a cat"),
        ("a cat and a pistol", ["pistol"], "", "a cat and"),
        ("crossed swords in ink", ["crossed", "swords"], "thing", "thing in ink"),
        ("a gun, a knife", ["gun", "knife"], "thing", "a thing, a thing"),
        ("gun", ["gun"], "", ""),
        ("a cat (gun:1.3)", ["gun"], "thing", "a cat (thing:1.3)"),
        ("قطة مسدس", ["مسدس"], "thing", "قطة thing"),
        ("banana gun", ["gun"], "object", "banana object"),
        ("cat🔫dog", ["🔫"], "thing", "cat thing dog"),
    ],
)
def test_articles_and_spaces(prompt: str, words: list[str], neutral: str, expected: str) -> None:
    assert rewritten(prompt, stretches(prompt, *words), neutral) == expected


def test_overlapping_and_neighbouring_stretches_become_one() -> None:
    prompt = "something that goes bang twice"
    found = merged(prompt, stretches(prompt, "bang", "goes bang", "that goes"))
    assert [s.text for s in found] == ["that goes bang"]
    assert all(prompt[s.start : s.end] == s.text for s in found)
