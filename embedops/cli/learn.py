"""`embedops learn`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from embedops.cli import options
from embedops.cli.loading import open_pipeline
from embedops.cli.output import learning_bar, note, results, write_json
from embedops.drawing import call_settings, draw, suitable_settings
from embedops.errors import ConfigError

if TYPE_CHECKING:
    from embedops.concepts import Concept

EXAMPLES = """
Examples:

    embedops learn cross-init --images examples/subjects/castle --token "<castle>" --init house
    embedops learn detex --images examples/subjects/castle --masks examples/subjects/castle \\
        --token "<castle>" --init house
    embedops learn textual-inversion --images photos --token "<toy>" --init "cat toy" \\
        --set steps=1000 --set vectors=2
    embedops generate "a <castle> in the snow" --concept learnt/castle/concept.safetensors
"""
SHEET_FILE = "sheet.png"
_PROMPTS = ("a {}", "a {} in the snow", "a {} on a beach", "a drawing of a {}")
_MOST_PARTS = 8


def learn(
    method: Annotated[str, typer.Argument(help="cross-init, detex, cones or textual-inversion.")],
    images: Annotated[Path, typer.Option("--images", help="A folder of pictures, or one picture.")],
    token: Annotated[str, typer.Option("--token", help="What prompts will call it.")],
    init: Annotated[
        str | None,
        typer.Option("--init", help="Words for what the pictures show.", show_default=False),
    ] = None,
    masks: Annotated[
        Path | None,
        typer.Option("--masks", help="A folder of masks, white on it.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Folder for the concept, a sheet of pictures, the log and the checkpoint; "
            "[b]learnt/TOKEN[/b] unless given. A stopped run goes on from there.",
            show_default=False,
        ),
    ] = None,
    tracker: Annotated[
        str | None,
        typer.Option(
            "--tracker",
            help="An experiment tracker of accelerate's, such as tensorboard or wandb.",
            show_default=False,
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="A setting of the method.", show_default=False
        ),
    ] = None,
    sheet: Annotated[bool, typer.Option(help="Whether to draw the sheet.")] = True,
    model: options.Model = "emoji",
    device: options.Device = None,
    dtype: options.DtypeOption = None,
    seed: options.Seed = 0,
    as_json: options.Json = False,
) -> None:
    """Learn a concept from a few pictures: a small file that prompts can name.

    A text file of a picture's name is its caption. The model stays as it is; only a few vectors
    are learnt, and only the best of them are kept.
    """
    from embedops.families import adapter_for
    from embedops.learning.learn import CONCEPT_FILE
    from embedops.learning.learn import learn as learn_concept
    from embedops.learning.method import method as checked_method
    from embedops.learning.method import recommended

    config: dict[str, Any] = dict(_setting(text) for text in settings or [])
    if init is not None:
        config["init"] = init
    checked_method(method, config)  # tells of a wrong setting before the model is loaded
    folder = out or Path("learnt") / ("".join(c for c in token if c.isalnum()) or "concept")
    pipe = open_pipeline(model, device, dtype)
    suited = recommended(adapter_for(pipe), method)
    steps = checked_method(method, {**suited, **config}).config.steps
    with learning_bar(f"learning {token}", steps) as on_step:
        concept = learn_concept(
            method,
            pipe,
            images,
            token,
            out=folder,
            masks=masks,
            seed=seed,
            on_step=on_step,
            tracker=tracker,
            **config,
        )
    if concept.origin.get("notes"):
        note(concept.origin["notes"])
    if concept.parts:
        note(f"Prompts may also name {', '.join(concept.parts)} ({concept.origin['parts']}).")
    files = {"concept": str(folder / CONCEPT_FILE), "log": str(folder / "log.jsonl")}
    if sheet:
        files["sheet"] = str(_draw_sheet(pipe, concept, folder, model, seed))
    if as_json:
        write_json(
            {
                "token": concept.token,
                "parts": list(concept.parts),
                "origin": dict(concept.origin),
                **files,
            }
        )
        return
    out_console = results()
    for what, path in files.items():
        out_console.print(f"{what:8} {path}", highlight=False, soft_wrap=True, markup=False)


def _draw_sheet(pipe: Any, concept: Concept, folder: Path, model: str, seed: int) -> Path:
    """What the concept draws in a few prompts, two seeds each, and with each of its parts."""
    from PIL import Image

    call = call_settings(pipe, **suitable_settings(pipe, model, learned=True))
    wide = len(_PROMPTS)
    plain = [text.format(concept.token) for text in _PROMPTS]
    parts = [f"a {concept.token} {part}" for part in list(concept.parts)[:_MOST_PARTS]]
    asked = [(plain, seed), (plain, seed + 1)]
    asked += [(parts[first : first + wide], seed) for first in range(0, len(parts), wide)]
    rows = [
        draw(pipe, prompts, [start] * len(prompts), call, concepts=[concept]).images
        for prompts, start in asked
    ]
    side = max(192, rows[0][0].width // 2)
    whole = Image.new("RGB", (side * wide, side * len(rows)), "white")
    for down, row in enumerate(rows):
        for across, image in enumerate(row):
            tile = image.resize((side, side), Image.Resampling.LANCZOS)
            whole.paste(tile, (side * across, side * down))
    path = folder / SHEET_FILE
    whole.save(path)
    return path


def _setting(text: str) -> tuple[str, object]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {text!r}: expected KEY=VALUE, such as steps=100.")
    try:
        return key, json.loads(value)
    except json.JSONDecodeError:
        return key, value
