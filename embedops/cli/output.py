"""What commands write: results to standard output, everything else to standard error."""

from __future__ import annotations

import inspect
import json
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from embedops.learning.loop import StepReport

Advance = Callable[[], None]


def results() -> Console:
    """The console of results."""
    return Console()


def notes() -> Console:
    """The console of everything that is not a result."""
    return Console(stderr=True)


def complain(message: str) -> None:
    """One error, on one line where it fits."""
    notes().print(f"[bold red]error:[/] {_plain(message)}", highlight=False, soft_wrap=True)


def note(message: str) -> None:
    """One remark."""
    notes().print(f"[dim]{_plain(message)}[/]", highlight=False, soft_wrap=True)


def write_json(value: object) -> None:
    """`value` as one JSON document, alone on standard output."""
    sys.stdout.write(json.dumps(_finite(value), indent=2, ensure_ascii=False) + "\n")


@contextmanager
def progress(what: str, total: int) -> Iterator[Advance]:
    """A bar for `total` units of work; what is yielded reports one of them done."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=notes(),
        transient=True,
    )
    with bar:
        task = bar.add_task(_plain(what), total=total)
        yield lambda: bar.advance(task)


@contextmanager
def learning_bar(what: str, total: int) -> Iterator[Callable[[StepReport], None]]:
    """A bar for learning, with the loss; what is yielded takes each step's report."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=notes(),
        transient=True,
    )
    with bar:
        task = bar.add_task(_plain(what), total=total, loss="–")
        losses: list[float] = []

        def show(report: StepReport) -> None:
            losses.append(report.loss)
            recent = losses[-20:]
            mean = sum(recent) / len(recent)
            bar.update(task, completed=report.step, loss=f"{mean:.3f}")

        yield show


def paragraphs(cls_or_function: object) -> list[str]:
    """A docstring's paragraphs, each on one line, for the terminal to wrap."""
    documented = inspect.getdoc(cls_or_function) or ""
    return [" ".join(paragraph.split()) for paragraph in documented.split("\n\n")]


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _finite(value: object) -> object:
    """JSON knows no NaN and no infinity: null stands for both."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
