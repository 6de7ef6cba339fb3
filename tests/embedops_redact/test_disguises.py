from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedops_redact.disguises import folded, joined, readings
from embedops_redact.words import words_of

KNOWN = frozenset("pistol gun cat lovely axe bomb relaxed hand handgun swords the".split())


@pytest.mark.parametrize(
    ("disguise", "word"),
    [
        ("Pistol", "pistol"),
        ("ＰＩＳＴＯＬ", "pistol"),
        ("pístöl", "pistol"),
        ("pis\u200btol", "pistol"),
        ("pіstоl", "pistol"),  # Cyrillic і and о
        ("ριstοl", "pistol"),  # Greek ρ, ι and ο
        ("p1st0l", "pistol"),
        ("pi$tol", "pistol"),
        ("p.i.s.t.o.l", "pistol"),
        ("pis-tol", "pistol"),
        ("pistl", "pistol"),
        ("pisttol", "pistol"),
        ("pitsol", "pistol"),
        ("bvomb", "bomb"),
        ("lovelyaxe", "axe"),
        ("catpistol", "pistol"),
        ("SWORDS", "swords"),
        ("xxpistolxx", "pistol"),
        ("z" * 200 + "pistol", "pistol"),
    ],
)
def test_a_disguise_is_seen_through(disguise: str, word: str) -> None:
    assert word in readings(disguise, KNOWN)


@pytest.mark.parametrize("word", "relaxed hand cat relaxedly the zebra gnu bow".split())
def test_other_words_are_not_taken_for_a_disguise(word: str) -> None:
    assert not {"axe", "gun", "bomb", "pistol"} & set(readings(word, KNOWN))


@given(st.sampled_from(sorted(KNOWN)))
def test_a_known_word_stands_for_nothing_else(word: str) -> None:
    assert readings(word, KNOWN) == ()


@given(st.text())
def test_folding_twice_is_folding_once(text: str) -> None:
    assert folded(folded(text)) == folded(text)


@given(st.text(max_size=40))
def test_readings_never_repeat_the_text(text: str) -> None:
    found = readings(text, KNOWN)
    assert text not in found
    assert len(set(found)) == len(found)


@pytest.mark.parametrize(
    ("prompt", "made"),
    [
        ("a pis tol here", ["pistol"]),
        ("hand gun", ["handgun"]),
        ("p i s t o l", ["pistol"]),
        ("P.I.S.T.O.L", ["pistol"]),
        ("sw or ds", ["swords"]),
        ("s wo rd s", []),  # four pieces, and not all of them single letters
        ("a cat", []),
    ],
)
def test_neighbours_that_make_one_word(prompt: str, made: list[str]) -> None:
    words = words_of(prompt)
    found = list(joined(words, 3, KNOWN))
    assert [word for _, _, word in found] == made
    for first, last, word in found:
        assert folded("".join(w.text for w in words[first:last])) == word
