"""`python -m embedops_emoji.train`: makes the embedded model from sprites to a pipeline folder.

Stages run in the order given below; each is skipped when its result is already in the working
folder, and the denoiser's goes on from its last checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console

from embedops_emoji.loader import model_path
from embedops_emoji.sprites import build_atlas
from embedops_emoji.training.cache import build_cache
from embedops_emoji.training.evaluator_training import EVALUATOR_FILE, train_evaluator
from embedops_emoji.training.export import LOG_FILE, export
from embedops_emoji.training.measure import measure
from embedops_emoji.training.settings import FULL, SMOKE, Settings
from embedops_emoji.training.subjects import write_subjects
from embedops_emoji.training.text_training import CLIP_FILE, train_text
from embedops_emoji.training.unet_training import train_unet
from embedops_emoji.training.vae_training import VAE_FILE, train_vae

_console = Console(stderr=True)


class Stage(StrEnum):
    """What can be run; `sprites` needs the icon sets and is left out by default."""

    SPRITES = "sprites"
    TEXT = "text"
    VAE = "vae"
    EVALUATOR = "evaluator"
    CACHE = "cache"
    UNET = "unet"
    EXPORT = "export"
    MEASURE = "measure"
    SUBJECTS = "subjects"


def run_stage(stage: Stage, settings: Settings, work: Path, target: Path, icons: Path) -> None:
    """Run one stage.

    Args:
        stage: which one.
        settings: the recipe.
        work: folder of intermediate results and of the log.
        target: model folder that `export` writes and `measure` reads.
        icons: folder of the unpacked icon sets, for `sprites`.
    """
    log = work / LOG_FILE
    actions: dict[Stage, Callable[[], object]] = {
        Stage.SPRITES: lambda: build_atlas(icons),
        Stage.TEXT: lambda: train_text(settings, work, log),
        Stage.VAE: lambda: train_vae(settings, work, log),
        Stage.EVALUATOR: lambda: train_evaluator(settings, work, log),
        Stage.CACHE: lambda: build_cache(settings, work, log),
        Stage.UNET: lambda: train_unet(settings, work, log),
        Stage.EXPORT: lambda: export(settings, work, log, target),
        Stage.MEASURE: lambda: _report(measure(settings, target)),
        Stage.SUBJECTS: lambda: write_subjects(work / "subjects"),
    }
    actions[stage]()


def _report(figures: dict[str, object]) -> None:
    _console.print_json(data=figures)


def _is_done(stage: Stage, work: Path) -> bool:
    results = {Stage.TEXT: CLIP_FILE, Stage.VAE: VAE_FILE, Stage.EVALUATOR: EVALUATOR_FILE}
    return stage in results and (work / results[stage]).is_file()


def main(
    stages: Annotated[
        list[Stage] | None, typer.Argument(help="Stages to run; all but sprites by default.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Working folder: checkpoints, cache, log.")] = Path(
        "outputs/emoji"
    ),
    target: Annotated[
        Path | None,
        typer.Option(help="Model folder to write; OUT/model unless --install is given."),
    ] = None,
    install: Annotated[bool, typer.Option(help="Write the package's own weights folder.")] = False,
    smoke: Annotated[bool, typer.Option(help="Every stage at toy length, in minutes.")] = False,
    icons: Annotated[
        Path, typer.Option(help="Folder of the unpacked @iconify-json packages.")
    ] = Path("node_modules/@iconify-json"),
    threads: Annotated[int, typer.Option(min=1, help="Threads of each stage but unet.")] = 2,
    force: Annotated[bool, typer.Option(help="Run stages again that are done.")] = False,
) -> None:
    """Train the embedded model."""
    torch.set_num_threads(threads)
    settings = SMOKE if smoke else FULL
    out.mkdir(parents=True, exist_ok=True)
    home = model_path() if install else (target or out / "model")
    for stage in stages or [s for s in Stage if s is not Stage.SPRITES]:
        if not force and not stages and _is_done(stage, out):
            _console.print(f"[dim]{stage}: done before[/dim]")
            continue
        with _console.status(f"{stage} … (log: {out / LOG_FILE})"):
            run_stage(stage, settings, out, home, icons)
        _console.print(f"{stage}: done")


if __name__ == "__main__":
    typer.run(main)
