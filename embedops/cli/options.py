"""The options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from embedops.drawing import GUIDANCE, LEARNED_GUIDANCE, STEPS


class Dtype(StrEnum):
    """The number formats that a model may be loaded in."""

    float32 = "float32"
    float16 = "float16"
    bfloat16 = "bfloat16"


Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        help="[b]emoji[/b] (built in, works offline), a folder in diffusers format or a hub id.",
        rich_help_panel="Model",
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        help="Such as cpu, cuda or cuda:1; CUDA where there is one unless given.",
        show_default=False,
        rich_help_panel="Model",
    ),
]
DtypeOption = Annotated[
    Dtype | None,
    typer.Option(
        "--dtype",
        help="float16 on CUDA and float32 on the CPU unless given.",
        show_default=False,
        rich_help_panel="Model",
    ),
]
Seed = Annotated[
    int,
    typer.Option("--seed", "-s", min=0, help="Picture k (from 0) is drawn from the seed SEED + k."),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json", help="Write JSON to standard output, and everything else to standard error."
    ),
]
Plugins = Annotated[
    list[str] | None,
    typer.Option(
        "--plugin",
        "-p",
        metavar="NAME",
        help="A plugin to attach; repeat it for more, which compose in that order. "
        "See [b]embedops plugins[/b].",
        show_default=False,
        rich_help_panel="Plugins",
    ),
]
Concepts = Annotated[
    list[str] | None,
    typer.Option(
        "--concepts",
        "-c",
        metavar="PRESET",
        help="Presets to steer away from, such as weapons or nudity,violence; for every plugin "
        "given that takes concepts.",
        show_default=False,
        rich_help_panel="Plugins",
    ),
]
Phrases = Annotated[
    list[str] | None,
    typer.Option(
        "--phrases",
        metavar="TEXT",
        help="A phrase of your own to steer away from; repeat it for more.",
        show_default=False,
        rich_help_panel="Plugins",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="[NAME.]KEY=VALUE",
        help="A setting of plugin NAME, which may be left out where only one plugin is given; "
        "repeat it for more. A VALUE that begins with \\[, { or a double quote, and null, are "
        "read as JSON.",
        show_default=False,
        rich_help_panel="Plugins",
    ),
]
LearnedConcepts = Annotated[
    list[Path] | None,
    typer.Option(
        "--concept",
        help="A learned concept's file, which prompts name by its token; repeat it for more.",
        show_default=False,
        rich_help_panel="Plugins",
    ),
]
Steps = Annotated[
    int | None,
    typer.Option(
        "--steps",
        min=1,
        help=f"Denoising steps; {STEPS} for installed models, else the pipeline's own default.",
        show_default=False,
    ),
]
Guidance = Annotated[
    float | None,
    typer.Option(
        "--guidance",
        min=0.0,
        help=f"Guidance scale; for installed models {GUIDANCE:g}, or {LEARNED_GUIDANCE:g} with a "
        "learned concept, else the pipeline's own default.",
        show_default=False,
    ),
]
