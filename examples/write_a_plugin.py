"""A plugin of your own in twenty lines; an entry point in `embedops.plugins` would install it."""

from typing import ClassVar

import torch
from pydantic import Field

import embedops


class WhisperConfig(embedops.PluginConfig):
    """How loud prompts are read."""

    volume: float = Field(0.5, ge=0.0, le=1.0)


class Whisper(embedops.Plugin[WhisperConfig]):
    """Blends every prompt with the empty one."""

    name: ClassVar[str] = "whisper"
    Config: ClassVar[type[embedops.PluginConfig]] = WhisperConfig

    def edit(self, conditioning: embedops.Conditioning, encoder: embedops.Encoder) -> embedops.Edit:
        rows = len(conditioning)
        silence = encoder.encode([""] * rows)
        quiet = [
            stream.replace(embeds=torch.lerp(empty.embeds, stream.embeds, self.config.volume))
            for stream, empty in zip(conditioning.streams, silence.streams, strict=True)
        ]
        window = embedops.Window()
        trace = embedops.Trace(self.name, flagged=False, window=window)
        return embedops.Edit(conditioning.replace(*quiet), (window,) * rows, (trace,) * rows)


def main() -> None:
    pipe = embedops.load("emoji")
    with embedops.attach(pipe, Whisper(WhisperConfig(volume=0.3))) as session:
        pipe("a penguin in the snow", num_inference_steps=20)
        print(session.report)


if __name__ == "__main__":
    main()
