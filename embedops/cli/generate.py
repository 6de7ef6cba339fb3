"""`embedops generate`."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from embedops.cli import options
from embedops.cli.loading import open_pipeline, read_concept
from embedops.cli.output import progress, results, write_json
from embedops.cli.stack import build_stack
from embedops.drawing import (
    Clip,
    Drawn,
    call_settings,
    draw,
    steps_of,
    suitable_settings,
)
from embedops.extension import AnyPlugin

EXAMPLES = """
Examples:

    embedops generate "a cat on a beach" "a dagger and a cat"
    embedops generate "a gun and an apple" --plugin redact --concepts weapons
    embedops generate "a gun" -p redact -p safree -c weapons \\
        --set redact.strength=0.8
    embedops generate "a rocket flying up at night" --model emoji-video
    embedops generate "a <teapot> in the snow" --concept learnt/concept.safetensors
    embedops generate "a red kite" -p safree --phrases "a bird of prey" -s 7
"""

Prompts = Annotated[list[str], typer.Argument(help="One or more prompts.", show_default=False)]


def generate(
    prompts: Prompts,
    plugin: options.Plugins = None,
    concepts: options.Concepts = None,
    phrases: options.Phrases = None,
    settings: options.Settings = None,
    concept: options.LearnedConcepts = None,
    negative: Annotated[
        str | None, typer.Option("--negative", help="A negative prompt.", show_default=False)
    ] = None,
    steps: options.Steps = None,
    guidance: options.Guidance = None,
    images: Annotated[int, typer.Option("--images-per-prompt", "-n", min=1)] = 1,
    height: Annotated[int | None, typer.Option(min=8, show_default=False)] = None,
    width: Annotated[int | None, typer.Option(min=8, show_default=False)] = None,
    frames: Annotated[
        int | None, typer.Option(min=1, help="Frames of a video.", show_default=False)
    ] = None,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Prompts drawn at a time.")] = 4,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", file_okay=False, help="Folder for the pictures."),
    ] = Path("outputs"),
    model: options.Model = "emoji",
    device: options.Device = None,
    dtype: options.DtypeOption = None,
    seed: options.Seed = 0,
    as_json: options.Json = False,
) -> None:
    """Draw pictures, or moving ones with a text-to-video model, with plugins attached or without.

    Files are numbered and nothing is overwritten. The prompt, the seed, every setting, the versions
    and what the plugins did are written into each PNG file.
    """
    stack = build_stack(
        plugin or [], concepts=concepts or [], phrases=phrases or [], settings=settings or []
    )
    learned = [read_concept(file) for file in concept or []]
    pipe = open_pipeline(model, device, dtype)

    given = {"steps": steps, "guidance": guidance, "frames": frames}
    chosen = {key: value for key, value in given.items() if value is not None}
    suitable = suitable_settings(pipe, model, learned=bool(learned))
    settings_of_call = call_settings(pipe, shape=(height, width), **{**suitable, **chosen})
    common = {
        "model": model,
        "pipeline": type(pipe).__name__,
        "device": str(pipe.device),
        "dtype": str(pipe.dtype).removeprefix("torch."),
        **settings_of_call,
        "plugins": [_plugin_record(one) for one in stack],
        "concepts": [{"token": one.token, **one.origin} for one in learned],
        "versions": _versions(),
    }
    records: list[dict[str, Any]] = []
    batches = range(0, len(prompts), batch)
    with progress("drawing", len(batches) * steps_of(pipe, settings_of_call)) as advance:
        for first in batches:
            part = prompts[first : first + batch]
            seeds = [seed + first * images + k for k in range(len(part) * images)]
            drawn = draw(
                pipe,
                part,
                seeds,
                settings_of_call,
                plugins=stack,
                concepts=learned,
                negative=negative,
                on_step=advance,
            )
            for picture, facts in _described(drawn, part, seeds, negative):
                path = _save(picture, out, facts, common)
                records.append({"path": str(path), **facts})
    if as_json:
        write_json({**common, "images": records})
    else:
        _tell(records)


def _described(
    drawn: Drawn, prompts: Sequence[str], seeds: Sequence[int], negative: str | None
) -> Iterator[tuple[Clip, dict[str, Any]]]:
    """The frames of each picture of a call and what is to be known of it alone."""
    each = len(seeds) // len(prompts)
    pictures = drawn.clips or [[image] for image in drawn.images]
    for index, (picture, seed) in enumerate(zip(pictures, seeds, strict=True)):
        row = index // each
        facts: dict[str, Any] = {
            "prompt": prompts[row],
            "negative_prompt": negative or "",
            "seed": seed,
            "report": None,
        }
        if drawn.report is not None:
            facts["report"] = {
                **drawn.report.verdicts[row].to_json(),
                "steps": list(drawn.report.steps[row]),
                "total_steps": drawn.report.total,
            }
        yield picture, facts


def _save(picture: Clip, folder: Path, facts: Mapping[str, Any], common: Mapping[str, Any]) -> Path:
    from embedops.pictures import save_numbered

    stem = re.sub(r"[^a-z0-9]+", "-", facts["prompt"].lower()).strip("-")[:48] or "picture"
    about = {
        "prompt": facts["prompt"],
        "negative_prompt": facts["negative_prompt"],
        "seed": str(facts["seed"]),
        "Software": f"embedops {version('embedops')}",
        "embedops": json.dumps({**common, **facts}, ensure_ascii=False),
    }
    return save_numbered(picture, folder, stem.rstrip("-"), about)


def _plugin_record(plugin: AnyPlugin) -> dict[str, Any]:
    return {"name": plugin.name, "settings": plugin.config.model_dump(mode="json")}


def _versions() -> dict[str, str]:
    found = {name: version(name) for name in ("embedops", "torch", "diffusers", "transformers")}
    return {"python": platform.python_version(), **found}


def _tell(records: Sequence[Mapping[str, Any]]) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("file", no_wrap=True)  # to be copied, so never cut or folded for the others
    for heading in ("seed", "prompt", "plugins"):
        table.add_column(heading)
    for record in records:
        report = record["report"]
        done = ""
        if report is not None:
            done = f"edited in {len(report['steps'])} of {report['total_steps']} steps"
        table.add_row(escape(record["path"]), str(record["seed"]), escape(record["prompt"]), done)
    results().print(table)
