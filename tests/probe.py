"""A small real plugin, for tests of what hosts plugins."""

from __future__ import annotations

from typing import ClassVar

from embedops import Conditioning, Edit, Encoder, Plugin, PluginConfig, Trace, Window


class SayConfig(PluginConfig):
    """What to read instead, for which prompts, and when."""

    instead: str = "a cat on the beach"
    where: str = "pistol"
    start: float = 0.0
    stop: float = 1.0
    negative: str | None = None


class Say(Plugin[SayConfig]):
    """Lets prompts that hold a word read as another prompt."""

    name: ClassVar[str] = "say"
    Config: ClassVar[type[PluginConfig]] = SayConfig

    def edit(self, conditioning: Conditioning, encoder: Encoder) -> Edit:
        config = self.config
        window = Window(config.start, config.stop)
        windows = tuple(window if config.where in p else None for p in conditioning.prompts)
        new = encoder.encode([config.instead] * len(conditioning)).avoiding(conditioning.negative)
        if config.negative is not None:
            new = new.avoiding(encoder.encode_negative([config.negative] * len(conditioning)))
        traces = tuple(Trace(self.name, w is not None, w) for w in windows)
        return Edit(new, windows, traces)


def say(**settings: object) -> Say:
    """The plugin with some settings."""
    return Say(SayConfig(**settings))  # type: ignore[arg-type]  # validated by pydantic
