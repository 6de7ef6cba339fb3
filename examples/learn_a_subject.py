"""Learn a subject from five pictures with DETEX, then draw it where it has never been.

Less than a minute on two CPU cores. Writes `outputs/castle/concept.safetensors`, and `castle.png`
with the pictures above and what was learnt from them below.
"""

import argparse
from pathlib import Path

import torch
from PIL import Image

import embedops

SUBJECT = Path(__file__).parent / "subjects" / "castle"
PROMPTS = (
    "a <castle>",
    "a <castle> at night",
    "a <castle> in the sky",
    "a cat next to a <castle>",
    "a silhouette <castle>",
)
SIDE = 160


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=75)
    parser.add_argument("--out", type=Path, default=Path("outputs/castle"))
    given = parser.parse_args()
    pipe = embedops.load("emoji")
    pictures = [SUBJECT / f"{number}.png" for number in range(5)]
    castle = embedops.learn(
        "detex",
        pipe,
        pictures,
        "<castle>",
        out=given.out,
        masks=SUBJECT,
        init="house",
        steps=given.steps,
    )
    with embedops.attach(pipe) as session:
        session.add(castle)
        noise = [torch.Generator().manual_seed(seed) for seed in range(len(PROMPTS))]
        drawn = pipe(list(PROMPTS), generator=noise, num_inference_steps=20, guidance_scale=2.0)
    sheet = Image.new("RGB", (SIDE * len(PROMPTS), SIDE * 2))
    for row, images in enumerate(([Image.open(path) for path in pictures], drawn.images)):
        for column, image in enumerate(images):
            tile = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
            sheet.paste(tile, (column * SIDE, row * SIDE))
    path = given.out / "castle.png"
    sheet.save(path)
    print(f"learnt {castle.token} with {', '.join(castle.parts)}; pictures in {path}")


if __name__ == "__main__":
    main()
