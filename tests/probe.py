"""A small real plugin, for tests of what hosts plugins."""

from __future__ import annotations

from typing import Any, ClassVar

from embedops import PluginConfig
from embedops.testing.read_as import ReadAs, ReadAsConfig


class SayConfig(ReadAsConfig):
    """The same with a sentence of its own."""

    instead: str | None = "a cat on the beach"


class Say(ReadAs):
    """Lets prompts that hold a word read as another prompt."""

    name: ClassVar[str] = "say"
    Config: ClassVar[type[PluginConfig]] = SayConfig


def say(**settings: Any) -> Say:
    """The plugin with some settings."""
    return Say(SayConfig(**settings))
