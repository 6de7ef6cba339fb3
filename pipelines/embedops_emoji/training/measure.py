"""Stage `measure`: does the exported pipeline draw what it is asked? Judged by the evaluator."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import zip_longest
from multiprocessing import get_context
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

from embedops_emoji import world
from embedops_emoji.evaluator import Evaluator, Reading
from embedops_emoji.prompts import PromptCase, prompt_set
from embedops_emoji.training.settings import Settings

MEASURE_FILE = "measurement.json"
GUIDANCE = 4.0
_BATCH = 20


@dataclass(frozen=True)
class Score:
    """One picture against its prompt.

    Attributes:
        case: the prompt and its ground truth.
        hits: asked objects seen, in the order asked.
        clean: no object seen that was not asked for.
        background: the background read is the one asked for.
        style: the style read is the one asked for; `None` where no object has one.
    """

    case: PromptCase
    hits: tuple[bool, ...]
    clean: bool
    background: bool
    style: bool | None


def generate(
    pipe: StableDiffusionPipeline,
    texts: Sequence[str],
    seed: int,
    steps: int = 20,
    guidance: float = GUIDANCE,
) -> list[Image.Image]:
    """One picture a prompt; picture `i` starts from noise of seed `seed * 100000 + i`."""
    images: list[Image.Image] = []
    for start in range(0, len(texts), _BATCH):
        part = list(texts[start : start + _BATCH])
        generators = [
            torch.Generator("cpu").manual_seed(seed * 100_000 + start + i) for i in range(len(part))
        ]
        images += pipe(
            part, num_inference_steps=steps, guidance_scale=guidance, generator=generators
        ).images
    return images


def score(case: PromptCase, reading: Reading) -> Score:
    """Compare one reading with what the prompt asked for."""
    seen = set(reading.seen())
    return Score(
        case=case,
        hits=tuple(name in seen for name in case.objects),
        clean=seen <= set(case.objects),
        background=reading.background == case.background,
        style=reading.style == case.style if case.objects else None,
    )


def acceptance_cases(count: int) -> list[PromptCase]:
    """`count` single-object prompts that visit every object in turn, and `count` unseen pairs."""
    by_object: dict[str, list[PromptCase]] = {name: [] for name in world.OBJECTS}
    kinds = ["harmless-single"]
    for group in world.UNSAFE_GROUPS:
        kinds += [f"{group}-direct", f"{group}-synonym"]
    for kind in kinds:
        for case in prompt_set(kind, 240 if kind == "harmless-single" else 60, seed=17):
            by_object[case.objects[0]].append(case)
    rounds = zip_longest(*by_object.values())
    singles = [case for one in rounds for case in one if case is not None]
    pairs = prompt_set("harmless-pair", count // 2, seed=17)
    pairs += prompt_set("weapon-pair", count - count // 2, seed=17)
    return singles[:count] + pairs


def summarise(scores: Sequence[Score]) -> dict[str, float]:
    """Shares over one seed's scores; a figure without any picture is left out."""
    singles = [s for s in scores if len(s.hits) == 1]
    pairs = [s for s in scores if len(s.hits) == 2]
    columns: dict[str, list[bool]] = {
        "object": [s.hits[0] for s in singles],
        "both_objects": [all(s.hits) for s in pairs],
        "either_object_of_pair": [hit for s in pairs for hit in s.hits],
        "clean": [s.clean for s in scores],
        "background": [s.background for s in scores],
        "style": [s.style for s in scores if s.style is not None],
    }
    for style in world.STYLES:
        columns[f"object_{style}"] = [s.hits[0] for s in singles if s.case.style == style]
    return {name: statistics.fmean(hits) for name, hits in columns.items() if hits}


def measure_seed(
    settings: Settings, target: Path, seed: int
) -> tuple[dict[str, float], dict[str, int]]:
    """Shares, and how often each object was missed, for one seed. Runs on one thread."""
    torch.set_num_threads(1)
    pipe = StableDiffusionPipeline.from_pretrained(
        target, dtype=torch.float32, local_files_only=True
    )
    pipe.set_progress_bar_config(disable=True)
    cases = acceptance_cases(settings.measure_per_set)
    images = generate(pipe, [c.text for c in cases], seed, settings.measure_steps)
    readings = Evaluator.load(folder=target).read(images)
    scores = [score(c, r) for c, r in zip(cases, readings, strict=True)]
    missed: Counter[str] = Counter()
    for item in scores:
        pairs = zip(item.case.objects, item.hits, strict=True)
        missed.update(name for name, hit in pairs if not hit)
    return summarise(scores), dict(missed)


def measure(settings: Settings, target: Path) -> dict[str, object]:
    """Measure the model folder `target` and write `measurement.json` there.

    Seeds run side by side, one process each.
    """
    seeds = settings.measure_seeds
    with ProcessPoolExecutor(len(seeds), get_context("spawn")) as pool:
        jobs = [pool.submit(measure_seed, settings, target, seed) for seed in seeds]
        results = [job.result() for job in jobs]
    per_seed = [shares for shares, _ in results]
    missed: Counter[str] = Counter()
    for _, counts in results:
        missed.update(counts)
    figures = {}
    for name in per_seed[0]:
        values = [s[name] for s in per_seed]
        figures[name] = {
            "mean": round(statistics.fmean(values), 4),
            "per_seed": [round(v, 4) for v in values],
        }
    report: dict[str, object] = {
        "pictures": 2 * settings.measure_per_set * len(seeds),
        "seeds": list(seeds),
        "steps": settings.measure_steps,
        "guidance": GUIDANCE,
        "figures": figures,
        "missed": dict(missed.most_common()),
    }
    (target / MEASURE_FILE).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return report
