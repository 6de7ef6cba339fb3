from __future__ import annotations

import pytest

from embedops import ConfigError, UnknownNameError
from embedops.presets import concept_phrases, presets

PROMISED = set("nudity violence weapons drugs self-harm hate shocking death substances".split())


def test_the_promised_presets_are_there() -> None:
    assert set(presets()) >= PROMISED
    assert any(name.startswith("artist-") for name in presets())
    for phrases in presets().values():
        assert len(phrases) >= 3
        assert len(set(phrases)) == len(phrases)
        assert all(phrase.strip() == phrase for phrase in phrases)


def test_a_models_own_preset_comes_first() -> None:
    shipped = {"weapons": ("dagger", "bomb")}
    assert concept_phrases(["weapons"], [], shipped) == ("dagger", "bomb")
    assert concept_phrases(["weapons"], [], {}) == presets()["weapons"]


def test_several_concepts_and_phrases_are_joined_without_repeats() -> None:
    found = concept_phrases(["a", "b"], ["rope", "gun"], {"a": ("gun", "axe"), "b": ("axe", "pin")})
    assert found == ("gun", "axe", "pin", "rope")
    assert concept_phrases([], [], {}) == ()


def test_a_misspelt_preset_is_no_phrase() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'nudity'"):
        concept_phrases(["nudty"], [], {})


@pytest.mark.parametrize("blank", ["", "  ", "\n"])
def test_blank_phrases_are_refused(blank: str) -> None:
    with pytest.raises(ConfigError, match="is blank"):
        concept_phrases([], ["gun", blank], {})
