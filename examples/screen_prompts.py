"""Judge prompts without drawing anything, as a service would before it queues them."""

import json

import embedops

PROMPTS = ["a pistol on a table", "a penguin in the snow", "a cupcake and a revolver"]


def main() -> None:
    pipe = embedops.load("emoji")
    redact = embedops.plugin("redact", concepts=["weapons", "substances"])
    for verdict in embedops.screen(pipe, PROMPTS, redact):
        words = [t.text for trace in verdict.traces for t in trace.tokens if t.triggered]
        print(json.dumps({"prompt": verdict.prompt, "flagged": verdict.flagged, "words": words}))


if __name__ == "__main__":
    main()
