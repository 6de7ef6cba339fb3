"""Redact what is named, then steer what is implied; each prompt on a schedule of its own."""

import torch

import embedops

PROMPTS = ["an owl with an axe in a meadow", "a rocket in a starry night"]


def main() -> None:
    pipe = embedops.load("emoji")
    stack = [
        embedops.plugin("redact", concepts="weapons"),
        embedops.plugin("safree", concepts="weapons", variant="paper"),
    ]
    noise = [torch.Generator().manual_seed(seed) for seed in range(len(PROMPTS))]
    with embedops.attach(pipe, *stack) as session:
        pipe(PROMPTS, generator=noise, num_inference_steps=20)
        print(session)
        for verdict, steps in zip(session.report.verdicts, session.report.steps, strict=True):
            print(f"{verdict.prompt}: flagged {verdict.flagged}, {len(steps)} steps edited")


if __name__ == "__main__":
    main()
