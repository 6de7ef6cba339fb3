"""What the learning methods make of subjects that the embedded model has never seen.

Run with `python benchmarks/learning.py`. For every held-out subject and seed each method learns
from five pictures of `examples/subjects`; at some steps the concept draws prompts, which the
evaluator reads:

- identity: cosine of the evaluator's features with those of renderings of the subject, both centred
  on the mean of all objects; `recognised` is the share of pictures that are nearer to the subject
  than to any of the other 43 objects;
- editability: shares in which the asked background, style or second object is seen; `both` is the
  share of pictures that are recognised and on the asked background;
- for DETEX the backgrounds of training pictures that were asked to be kept, and are seen.

Rates were chosen on teapot and octopus, which are not measured. Seconds are the process's own, for
learning alone, on one thread.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import records
import torch
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

import embedops
from embedops.learning.loop import StepReport
from embedops_emoji import world
from embedops_emoji.captions import Scene
from embedops_emoji.evaluator import Evaluator
from embedops_emoji.scenes import Compositor

SUBJECTS = Path(__file__).parents[1] / "examples" / "subjects"
CHOSEN_ON = ("teapot", "octopus")
SUBJECT = "<subject>"
_PICTURES = 5
_CHECKS = (25, 75, 150, 300, 450)
_STEPS, _GUIDANCE = 20, 4.0
_COMMON: dict[str, Any] = {
    "init": "balloon",
    "vectors": 3,
    "batch": 4,
    "templates": ("a {}",),
    "check_every": 25,
}
_SHOWN = ("identity", "recognised", "both", "style", "second object", "kept background")
_SCENE = {"scene": "{} {pose} {background}"}
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "textual inversion": ("textual-inversion", {"steps": 450, "rate": 5e-3}),
    "Cross Initialization": ("cross-init", {"steps": 300, "rate": 1e-1}),
    "ConES": ("cones", {"steps": 300, "rate": 1e-1}),
    "DETEX, embeddings only": ("detex", {"steps": 300, "mode": "embeddings", **_SCENE}),
    "DETEX": ("detex", {"steps": 300, "overlay_rate": 2e-3, **_SCENE}),
}


@dataclass(frozen=True)
class Question:
    """A prompt and what a picture of it should show beside the subject."""

    text: str
    background: str | None = None
    style: str | None = None
    second: str | None = None
    kept: bool = False


def questions(final: bool, backgrounds: Sequence[str], parts: bool) -> list[Question]:
    """What a concept is asked to draw: the subject on every background; at the end also styles,
    second objects, and the backgrounds of training pictures."""
    asked = [
        Question(f"a {SUBJECT}{'' if b == world.DEFAULT_BACKGROUND else f' {phrases[0]}'}", b)
        for b, phrases in world.BACKGROUNDS.items()
    ]
    if not final:
        return asked
    asked += [Question(q.text, q.background) for q in asked]
    for style, second in (("flat", "cat"), ("silhouette", "car"), ("flat", "key")):
        asked.append(Question(f"a {style} {SUBJECT}", style=style))
        asked.append(Question(f"a {SUBJECT} next to a {second}", second=second))
        asked.append(Question(f"a {second} next to a {SUBJECT}", second=second))
    if parts:
        inner = SUBJECT.strip("<>")
        asked += [
            Question(f"a {SUBJECT} <{inner}-background-{n}>", background, kept=True)
            for n, background in enumerate(backgrounds, 1)
        ]
    return asked


@cache
def references() -> tuple[tuple[str, ...], Tensor, Tensor]:
    """Names of all objects, the centred mean features of their renderings `[objects, dim]`, and
    the centre."""
    compositor, evaluator = Compositor(), Evaluator.load()
    names = tuple(world.ALL_OBJECTS)
    means = []
    for number, name in enumerate(names):
        rng = np.random.default_rng([9, number])
        scenes = [Scene((name,), ground, "3d", "upright") for ground in world.BACKGROUNDS] * 2
        drawn = [Image.fromarray(compositor.draw(scene, rng)) for scene in scenes]
        means.append(evaluator.features(drawn).mean(0))
    stacked = torch.stack(means)
    return names, stacked - stacked.mean(0), stacked.mean(0)


def judge(
    subject: str, asked: Sequence[Question], images: Sequence[Image.Image]
) -> dict[str, list[float]]:
    """Every figure with a value per picture that it is taken from."""
    evaluator = Evaluator.load()
    readings, features = evaluator.read(images), evaluator.features(images)
    names, targets, centre = references()
    cosines = torch.cosine_similarity((features - centre)[:, None], targets[None], dim=-1)
    own = names.index(subject)
    found: dict[str, list[float]] = {}

    def add(name: str, value: float) -> None:
        found.setdefault(name, []).append(value)

    for question, reading, row in zip(asked, readings, cosines, strict=True):
        right = float(reading.background == question.background)
        if question.kept:
            add("kept background", right)
        elif question.second is not None:
            add("second object", float(reading.sees(question.second)))
        elif question.style is not None:
            add("style", float(reading.style == question.style))
        else:
            recognised = float(int(row.argmax()) == own)
            add("identity", float(row[own]))
            add("recognised", recognised)
            add("background", right)
            add("both", recognised * right)
    return found


def draw(
    pipe: Any, concept: embedops.Concept, asked: Sequence[Question], seed: int
) -> list[Image.Image]:
    images: list[Image.Image] = []
    with embedops.attach(pipe) as session:
        session.add(concept)
        for first in range(0, len(asked), 8):
            part = asked[first : first + 8]
            seeds = [10_000 * seed + first + k for k in range(len(part))]
            images += pipe(
                [question.text for question in part],
                num_inference_steps=_STEPS,
                guidance_scale=_GUIDANCE,
                generator=[torch.Generator().manual_seed(s) for s in seeds],
            ).images
    return images


def study(label: str, subject: str, seed: int) -> list[dict[str, Any]]:
    """One method on one subject: a row of figures for each step that was looked at."""
    torch.set_num_threads(1)
    method, settings = METHODS[label]
    pipe, drawer = (embedops.load("emoji", device="cpu") for _ in range(2))
    drawer.set_progress_bar_config(disable=True)
    views = json.loads((SUBJECTS / subject / "views.json").read_text())[:_PICTURES]
    rows: list[dict[str, Any]] = []
    spent, since = 0.0, time.process_time()

    def on_step(_report: StepReport) -> None:
        nonlocal spent, since
        now = time.process_time()
        spent, since = spent + now - since, now

    def on_check(report: StepReport, concept: embedops.Concept) -> None:
        nonlocal since
        if report.step in _CHECKS:
            final = report.step == report.steps
            grounds = [view["background"] for view in views]
            asked = questions(final, grounds, bool(concept.parts))
            figures = judge(subject, asked, draw(drawer, concept, asked, seed))
            common = {"method": label, "subject": subject, "seed": seed, "step": report.step}
            lengths = {"norm": report.norm, "moved": report.moved, "check": report.check}
            rows.append({**common, "seconds": spent, **lengths, "figures": figures})
        since = time.process_time()

    with tempfile.TemporaryDirectory() as out:
        embedops.learn(
            method,
            pipe,
            [SUBJECTS / subject / view["image"] for view in views],
            SUBJECT,
            out=out,
            masks=SUBJECTS / subject,
            seed=seed,
            on_step=on_step,
            on_check=on_check,
            **{**_COMMON, **settings},
        )
    return rows


def summary(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Per method and step the mean of each figure, and the spread over subjects and seeds."""
    found = []
    for label in METHODS:
        for step in _CHECKS:
            some = [row for row in rows if row["method"] == label and row["step"] == step]
            if not some:
                continue
            figures: dict[str, dict[str, float]] = {}
            for name in dict.fromkeys(n for row in some for n in row["figures"]):
                runs = [statistics.fmean(row["figures"][name]) for row in some]
                figures[name] = {
                    "mean": statistics.fmean(runs),
                    "low": min(runs),
                    "high": max(runs),
                    "pictures": sum(len(row["figures"][name]) for row in some),
                }
            seconds = [row["seconds"] / step for row in some]
            found.append(
                {
                    "method": label,
                    "step": step,
                    "runs": len(some),
                    "seconds_per_step": statistics.median(seconds),
                    "figures": figures,
                }
            )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    subjects = [name for name in world.HELD_OUT if name not in CHOSEN_ON][:5]
    parser.add_argument("--subjects", nargs="+", default=subjects, choices=list(world.HELD_OUT))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--no-result", action="store_true")
    parser.add_argument("--go-on", action="store_true", help="keep the runs that are there")
    given = parser.parse_args()
    console = Console()
    rows: list[dict[str, Any]] = records.read("learning")["runs"] if given.go_on else []
    done = {(row["method"], row["subject"], row["seed"]) for row in rows}
    tasks = [
        (label, subject, seed)
        for seed in range(given.seeds)
        for subject in given.subjects
        for label in given.methods
        if (label, subject, seed) not in done
    ]
    with ProcessPoolExecutor(given.processes, get_context("spawn")) as pool:
        jobs = [pool.submit(study, *task) for task in tasks]
        for job in track(as_completed(jobs), "runs", total=len(jobs)):
            rows += job.result()
            if not given.no_result:  # so that a run that is cut short leaves what it has
                about = {"subjects": given.subjects, "seeds": given.seeds, "pictures": _PICTURES}
                records.write("learning", {**about, "rows": summary(rows), "runs": rows})
    means = summary(rows)
    table = Table("method", "step", "s/step", *_SHOWN)
    for row in means:
        shown = [row["figures"].get(n, {}).get("mean") for n in ("identity", "recognised", "both")]
        shown += [
            row["figures"].get(n, {}).get("mean") for n in ("second object", "kept background")
        ]
        cells = ["" if value is None else f"{value:.2f}" for value in shown]
        table.add_row(row["method"], str(row["step"]), f"{row['seconds_per_step']:.3f}", *cells)
    console.print(table)


if __name__ == "__main__":
    main()
