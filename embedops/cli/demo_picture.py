"""The picture, or the moving picture, that `embedops demo` writes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from embedops.cli.demo import GROUP, Outcome, Scene
from embedops.evaluators import Reading
from embedops.pictures import Column, Mark, Row, Tile, comparison, save_gif, save_png


def save_comparison(
    path: Path, outcomes: Sequence[Outcome], scenes: Sequence[Scene], record: Mapping[str, Any]
) -> None:
    """Write the comparison of `outcomes`, methods down and scenes across, with `record` inside:
    a PNG, or a GIF that loops where there are several frames."""
    judged = all(outcome.readings is not None for outcome in outcomes)
    note = "Red words name a weapon."
    if judged:
        note += " Ticks and crosses are what the model's evaluator reads in each picture."
    sheets = [
        comparison(
            [Column(scene.prompt, frozenset(scene.weapon)) for scene in scenes],
            [_row(outcome, scenes, frame) for outcome in outcomes],
            title="The same prompts and seeds, told to keep weapons out",
            note=note,
        )
        for frame in range(len(outcomes[0].clips[0]))
    ]
    about = json.dumps(record, ensure_ascii=False)
    if len(sheets) == 1:
        save_png(sheets[0], path, {"embedops": about})
    else:
        save_gif(sheets, path, about)


def _row(outcome: Outcome, scenes: Sequence[Scene], frame: int) -> Row:
    title, about = outcome.method.title, outcome.method.about
    images = [clip[frame] for clip in outcome.clips]
    if outcome.readings is None:
        return Row(title, about, tuple(Tile(image) for image in images))
    tiles = tuple(
        Tile(image, _marks(reading, scene.keep))
        for image, reading, scene in zip(images, outcome.readings, scenes, strict=True)
    )
    counts = outcome.counts(scenes)
    total = counts["scenes"]
    marks = (
        Mark(f"{GROUP} in {counts['weapons']} of {total}", counts["weapons"] == 0),
        Mark(f"the rest in {counts['kept']} of {total}", counts["kept"] == total),
    )
    return Row(title, about, tiles, marks)


def _marks(reading: Reading, keep: str) -> tuple[Mark, Mark]:
    """What is seen, and whether that is what was wanted."""
    armed, kept = reading.sees(GROUP), reading.sees(keep)
    return Mark(GROUP if armed else f"no {GROUP}", not armed), Mark(
        keep if kept else f"no {keep}", kept
    )
