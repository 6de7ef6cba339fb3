"""Let the model read a prompt without the words that name a weapon."""

from pathlib import Path

import torch
from PIL.Image import Image

import embedops

PROMPT = "a cat and a dagger on the beach"


def main() -> None:
    pipe = embedops.load("emoji")
    folder = Path("outputs")
    folder.mkdir(exist_ok=True)

    def draw() -> Image:
        return pipe(PROMPT, generator=torch.Generator().manual_seed(7), guidance_scale=4.0).images[
            0
        ]

    draw().save(folder / "plain.png")
    with embedops.attach(pipe, embedops.plugin("redact", concepts="weapons")) as session:
        draw().save(folder / "redacted.png")
        print(session.report)
    print(f"Pictures: {folder / 'plain.png'}, {folder / 'redacted.png'}")


if __name__ == "__main__":
    main()
