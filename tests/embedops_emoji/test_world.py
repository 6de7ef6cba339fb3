"""The world's tables agree with one another, and held-out subjects stay out."""

from __future__ import annotations

import numpy as np
import pytest

from embedops_emoji import world
from embedops_emoji.captions import Scene, Wording, caption, misspell
from embedops_emoji.training.sampling import Mix, filler_text, sample_scene


def test_world_is_large_enough() -> None:
    assert len(world.OBJECTS) >= 32
    assert len(world.HELD_OUT) >= 6
    assert not set(world.OBJECTS) & set(world.HELD_OUT)


def test_every_noun_means_one_object() -> None:
    nouns = [noun for thing in world.ALL_OBJECTS.values() for noun in thing.nouns]
    assert len(nouns) == len(set(nouns))
    assert not set(nouns) & set(world.NEUTRAL_WORDS)


def test_trained_objects_have_synonyms_and_a_known_group() -> None:
    for thing in world.OBJECTS.values():
        assert len(thing.synonyms) >= 2
        assert thing.group in world.GROUP_WORDS


def test_presets_hold_canonical_names_only() -> None:
    named = [name for names in world.CONCEPT_PRESETS.values() for name in names]
    assert set(named) <= set(world.OBJECTS)
    assert world.CONCEPT_PRESETS["weapons"] == list(world.members("weapon"))


def test_members_of_unknown_group_raises() -> None:
    with pytest.raises(KeyError, match="unknown group 'furniture'"):
        world.members("furniture")


def test_reserved_pairs_are_about_a_tenth() -> None:
    names = list(world.OBJECTS)
    pairs = [(a, b) for a in names for b in names if a != b]
    share = sum(world.is_reserved(*pair) for pair in pairs) / len(pairs)
    assert 0.06 < share < 0.14


def test_training_scenes_hold_no_subject_and_no_reserved_pair() -> None:
    rng = np.random.default_rng(0)
    for _ in range(3000):
        scene = sample_scene(rng, Mix())
        assert not set(scene.objects) & set(world.HELD_OUT)
        if len(scene.objects) == 2:
            assert not world.is_reserved(*scene.objects)


def test_training_texts_name_no_subject() -> None:
    rng = np.random.default_rng(1)
    forbidden = [noun for thing in world.HELD_OUT.values() for noun in thing.nouns]
    texts = [caption(sample_scene(rng, Mix()), rng, Wording()) for _ in range(3000)]
    texts += [filler_text(rng) for _ in range(300)]
    assert not [t for t in texts for noun in forbidden if f" {noun} " in f" {t} "]


def test_caption_is_deterministic_and_names_everything() -> None:
    scene = Scene(("cat", "key"), "snow", "flat")
    assert caption(scene) == caption(scene)
    text = caption(scene)
    assert "cat" in text
    assert "key" in text
    assert text.index("cat") < text.index("key")
    assert any(word in text for word in world.STYLES["flat"])
    assert any(phrase in text for phrase in world.BACKGROUNDS["snow"])


def test_caption_of_an_empty_slot_names_the_other_object_only() -> None:
    text = caption(Scene((None, "cat"), "snow", "flat"))
    assert "cat" in text
    assert any(word in text for word in world.EMPTY_WORDS)


def test_misspelling_changes_long_words_and_spares_short_ones() -> None:
    rng = np.random.default_rng(2)
    assert misspell("ax", rng) == "ax"
    changed = [misspell("dagger", rng) for _ in range(50)]
    assert sum(word != "dagger" for word in changed) > 40
