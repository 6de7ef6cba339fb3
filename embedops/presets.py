"""Concepts by name: lists of phrases to steer away from."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files

from pydantic import field_validator, model_validator

from embedops.errors import ConfigError, UnknownNameError
from embedops.extension import PluginConfig


@cache
def presets() -> Mapping[str, tuple[str, ...]]:
    """The presets that embedops ships, by name: phrases in plain English."""
    text = files("embedops").joinpath("presets.toml").read_text(encoding="utf-8")
    return {name: tuple(entry["phrases"]) for name, entry in tomllib.loads(text).items()}


def concept_phrases(
    concepts: Sequence[str], phrases: Sequence[str], shipped: Mapping[str, tuple[str, ...]]
) -> tuple[str, ...]:
    """The phrases of some presets and some free ones, each once, in the order given.

    Args:
        concepts: names of presets.
        phrases: free phrases.
        shipped: presets of the model itself; they come before those of embedops, because a model
            with a small vocabulary only knows the words it was taught.

    Raises:
        UnknownNameError: a concept is no preset. It is not taken for a phrase: a misspelt preset
            would then guard against nothing.
        ConfigError: a phrase is blank.
    """
    found: dict[str, None] = {}
    for name in concepts:
        entry = shipped.get(name) or presets().get(name)
        if entry is None:
            raise UnknownNameError.of(
                "concept preset (free text goes in `phrases`)", name, {*presets(), *shipped}
            )
        found.update(dict.fromkeys(entry))
    for phrase in phrases:
        if not phrase.strip():
            raise ConfigError(
                f"concept phrase {phrase!r} is blank. Give at least one word, or leave it out."
            )
        found[phrase] = None
    return tuple(found)


class ConceptConfig(PluginConfig):
    """Settings of plugins that look for concepts. At least one of the two has to be given.

    Attributes:
        concepts: names of concept presets. The model's own presets win over those of embedops.
        phrases: free phrases, beside or instead of presets. An empty list is an answer: nothing
            is looked for.
    """

    concepts: tuple[str, ...] | None = None
    phrases: tuple[str, ...] | None = None

    @field_validator("concepts", "phrases", mode="before")
    @classmethod
    def _one_or_several(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _something_was_said(self) -> ConceptConfig:
        if self.concepts is None and self.phrases is None:
            raise ValueError(
                "nothing to look for was given. Name presets in `concepts` or write `phrases`; an "
                "empty list says that nothing is meant"
            )
        return self

    def wanted(self, shipped: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
        """The phrases that are meant; `shipped` are the model's own presets.

        Raises:
            UnknownNameError: a concept is no preset.
            ConfigError: a phrase is blank.
        """
        return concept_phrases(self.concepts or (), self.phrases or (), shipped)
