from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from embedops_redact.words import chunks_of, spans_of, spoken, words_of


@given(st.text())
@example("عربي سلاح 👩\u200d🚀 手枪 pis\u200btol e\u0301l")
def test_words_are_slices_of_the_prompt_in_order(prompt: str) -> None:
    words = words_of(prompt)
    assert all(prompt[w.start : w.end] == w.text and w.text for w in words)
    assert all(a.end <= b.start for a, b in itertools.pairwise(words))


@given(st.text())
def test_every_letter_digit_and_emoji_belongs_to_a_word(prompt: str) -> None:
    inside = {i for w in words_of(prompt) for i in range(w.start, w.end)}
    for position, character in enumerate(prompt):
        if character.isalnum() or character in "🔫😀":
            assert position in inside


@given(st.text(), st.integers(1, 5))
def test_spans_and_chunks_are_slices_too(prompt: str, length: int) -> None:
    words = words_of(prompt)
    spans = spans_of(prompt, words, length)
    assert len(spans) == max(0, len(words) - length + 1)
    for stretch in (*spans, *chunks_of(prompt)):
        assert prompt[stretch.start : stretch.end] == stretch.text
    assert all(len(words_of(s.text)) == length for s in spans)
    covered = {w for w in words if any(c.covers(w) for c in chunks_of(prompt))}
    assert covered == set(words)


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("a cat, with it's  tail!", ["a", "cat", "with", "it's", "tail"]),
        ("'tis o’neill’s", ["tis", "o’neill’s"]),
        ("p.i.s", ["p", "i", "s"]),
        ("手枪と銃", ["手", "枪", "と", "銃"]),
        ("한국 권총", ["한국", "권총"]),
        ("👩\u200d🚀🔫 x", ["👩\u200d🚀🔫", "x"]),
        ("क्षत्रिय तलवार", ["क्षत्रिय", "तलवार"]),
        ("مسدس، قطة", ["مسدس", "قطة"]),
        ("<gun> (x:1.2)", ["gun", "x", "1", "2"]),
        ("pis\u200btol", ["pis\u200btol"]),
        ("", []),
        (" \n\t… ", []),
    ],
)
def test_what_a_word_is(prompt: str, words: list[str]) -> None:
    assert [w.text for w in words_of(prompt)] == words


def test_chunks_end_at_white_space() -> None:
    chunks = chunks_of("a p.i.s.t.o.l, (pis-tol) cat/dog\u2003x <s1>! - …")
    assert [c.text for c in chunks] == ["a", "p.i.s.t.o.l", "pis-tol", "cat/dog", "x", "<s1>"]


def test_spoken_leaves_out_what_stands_between() -> None:
    (whole,) = spans_of("crossed,\n swords", words_of("crossed,\n swords"), 2)
    assert spoken(whole) == "crossed swords"
