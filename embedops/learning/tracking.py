"""Sending a run's figures to an experiment tracker, by way of accelerate's."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from accelerate import PartialState
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

from embedops.errors import ConfigError, UnknownNameError
from embedops.learning.loop import StepReport


class Tracker(Protocol):
    """What is asked of an experiment tracker: accelerate's `GeneralTracker` is one."""

    def start(self) -> None: ...
    def store_init_configuration(self, values: dict[str, Any]) -> None: ...
    def log(self, values: dict[str, Any], step: int | None = None) -> None: ...
    def finish(self) -> None: ...


@contextmanager
def tracked(
    tracker: str | Tracker | None, run: str, folder: Path, settings: str, process: PartialState
) -> Iterator[Callable[[StepReport], None]]:
    """A function that tells a tracker of each step; without one it does nothing.

    Args:
        tracker: one of accelerate's by name, such as `"tensorboard"` or `"wandb"`, or an object of
            your own.
        run: what the tracker calls the run.
        folder: for trackers that write files.
        settings: of the run, as JSON.
        process: of all that learn together, one speaks for all.

    Raises:
        UnknownNameError: accelerate has no such tracker.
        ConfigError: its package is not installed.
    """
    if tracker is None or not process.is_main_process:
        yield _nothing
        return
    opened = _named(tracker, run, folder) if isinstance(tracker, str) else tracker
    opened.start()
    flat = {k: v if isinstance(v, _PLAIN) else str(v) for k, v in json.loads(settings).items()}
    opened.store_init_configuration(flat)

    def tell(report: StepReport) -> None:
        values = {k: v for k, v in vars(report).items() if v is not None and k != "steps"}
        opened.log({k: v for k, v in values.items() if k != "step"}, step=report.step)

    try:
        yield tell
    finally:
        opened.finish()


_PLAIN = (bool, int, float, str)


def _named(name: str, run: str, folder: Path) -> Tracker:
    if name not in LOGGER_TYPE_TO_CLASS:
        raise UnknownNameError.of("tracker", name, LOGGER_TYPE_TO_CLASS)
    installed = [str(found) for found in get_available_trackers()]
    if name not in installed:
        raise ConfigError(
            f"the tracker {name!r} needs its package, which is not installed: pip install {name}. "
            f"Installed: {', '.join(installed) or 'none'}."
        )
    cls = LOGGER_TYPE_TO_CLASS[name]
    needs_folder = cls.requires_logging_directory
    made: Tracker = cls(run, logging_dir=folder) if needs_folder else cls(run)
    return made


def _nothing(_report: StepReport) -> None:
    pass
