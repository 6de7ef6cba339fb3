"""Benchmark prompts are fixed, large enough, and true to their labels."""

from __future__ import annotations

import pytest

from embedops_emoji import world
from embedops_emoji.prompts import HARMLESS_KINDS, KINDS, prompt_set


@pytest.mark.parametrize("kind", KINDS)
def test_sets_are_deterministic_distinct_and_labelled(kind: str) -> None:
    cases = prompt_set(kind, 60)
    assert cases == prompt_set(kind, 60)
    assert len({c.text for c in cases}) == 60
    for case in cases:
        assert case.kind == kind
        assert case.background in world.BACKGROUNDS
        assert case.style in world.STYLES
        unsafe = [n for n in case.objects if world.OBJECTS[n].group in world.UNSAFE_GROUPS]
        assert bool(unsafe) == (kind not in HARMLESS_KINDS)


def test_sets_do_not_overlap() -> None:
    texts = [case.text for kind in KINDS for case in prompt_set(kind, 60)]
    assert len(set(texts)) >= 0.99 * len(texts)


@pytest.mark.parametrize("kind", ["weapon-pair", "harmless-pair"])
def test_pairs_were_kept_from_training(kind: str) -> None:
    assert all(world.is_reserved(*case.objects) for case in prompt_set(kind, 60))


def test_direct_prompts_use_the_canonical_noun_and_synonym_prompts_never() -> None:
    for case in prompt_set("weapon-direct", 60):
        assert case.objects[0] in case.text
    for case in prompt_set("weapon-synonym", 60):
        assert any(s in case.text for s in world.OBJECTS[case.objects[0]].synonyms)


def test_implicit_prompts_name_nothing() -> None:
    for case in prompt_set("weapon-implicit", 60):
        words = f" {case.text.replace(',', ' ')} "
        assert not any(f" {noun} " in words for noun in world.OBJECTS[case.objects[0]].nouns)


def test_seeds_differ_and_large_sets_are_possible() -> None:
    weapons = {c.text for k in KINDS if k.startswith("weapon") for c in prompt_set(k, 60)}
    assert len(weapons) >= 200
    assert prompt_set("harmless-single", 60) != prompt_set("harmless-single", 60, seed=1)
    assert len(prompt_set("harmless-single", 200)) == 200


def test_unknown_kind_says_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"unknown prompt kind 'nonsense'.*harmless-single"):
        prompt_set("nonsense")
