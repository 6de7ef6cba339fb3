"""The simplest plugins there are, to test what hosts plugins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from embedops.edits import Edit, Trace, Window
from embedops.encoders import Encoder
from embedops.extension import Plugin, PluginConfig
from embedops.streams import Conditioning
from embedops.testing.case import CAT


class ReadAsConfig(PluginConfig):
    """What to read instead, for which prompts, and when."""

    instead: str | None = CAT
    where: str = "pistol"
    start: float = 0.0
    stop: float = 1.0
    negative: str | None = None


class ReadAs(Plugin[ReadAsConfig]):
    """Lets prompts that hold a word read as another prompt, or as themselves."""

    name: ClassVar[str] = "read-as"
    Config: ClassVar[type[PluginConfig]] = ReadAsConfig

    def edit(self, conditioning: Conditioning, encoder: Encoder) -> Edit:
        config = self.config
        window = Window(config.start, config.stop)
        windows = tuple(window if config.where in p else None for p in conditioning.prompts)
        new = conditioning
        if config.instead is not None:
            texts = [
                prompt if held is None else config.instead
                for prompt, held in zip(conditioning.prompts, windows, strict=True)
            ]
            new = encoder.encode(texts).avoiding(conditioning.negative)
        if config.negative is not None:
            new = new.avoiding(encoder.encode_negative([config.negative] * len(conditioning)))
        return Edit(new, windows, tuple(Trace(self.name, w is not None, w) for w in windows))


def read_as(instead: str | None = CAT, **settings: Any) -> ReadAs:
    """The plugin with some settings."""
    return ReadAs(ReadAsConfig(instead=instead, **settings))


class Question(Plugin[PluginConfig]):
    """Asks something of the batch and of the encoders in a call, and edits nothing."""

    name: ClassVar[str] = "question"
    Config: ClassVar[type[PluginConfig]] = PluginConfig

    def __init__(self, ask: Callable[[Conditioning, Encoder], None]) -> None:
        super().__init__(PluginConfig())
        self._ask = ask
        self.answered = 0

    def edit(self, conditioning: Conditioning, encoder: Encoder) -> Edit:
        self._ask(conditioning, encoder)
        self.answered += 1
        count = len(conditioning)
        return Edit(conditioning, (None,) * count, (Trace(self.name, False, None),) * count)
