"""Getting a pipeline, without the noise that libraries make on the way."""

from __future__ import annotations

import gc
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedops.cli.options import Dtype
from embedops.cli.output import notes
from embedops.errors import ConfigError

if TYPE_CHECKING:  # importing torch takes seconds
    from embedops.concepts import Concept


def open_pipeline(model: str, device: str | None, dtype: Dtype | None) -> Any:
    """The pipeline called `model`, with its own progress bar off.

    Raises:
        ConfigError: there is no such model or no such device.
    """
    with notes().status(f"loading {model} …"):
        with importing():
            quiet_libraries()
            import torch

            from embedops.models import load

        place = _checked_device(device)
        try:
            pipe = load(model, device=place, dtype=getattr(torch, dtype) if dtype else None)
        except OSError as error:
            raise ConfigError(f"cannot load {model!r}: {error}") from error
    pipe.set_progress_bar_config(disable=True)
    return pipe


@contextmanager
def importing() -> Iterator[None]:
    """For imports of large libraries: what they make stays, so that looking through it for garbage
    again and again, a sixth of the time they take, finds nothing."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def read_concept(path: Path) -> Concept:
    """A learned concept.

    Raises:
        ConfigError: the file is none.
    """
    from embedops.concepts import Concept

    return Concept.load(path)


def quiet_libraries() -> None:
    """Leave out warnings that a user of the command line can do nothing about."""
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings(
        "ignore", category=UserWarning, module=r"(torch|diffusers|transformers)"
    )
    for name in ("transformers", "diffusers", "huggingface_hub"):
        logging.getLogger(name).setLevel(logging.ERROR)
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    for library in (diffusers_logging, transformers_logging):
        library.set_verbosity_error()
        library.disable_progress_bar()


def _checked_device(name: str | None) -> str | None:
    import torch

    if name is None:
        return None
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(
            f"--device {name!r} is no device: expected cpu, cuda, cuda:1, mps or the like."
        ) from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"--device {name!r} is not there: this machine has {torch.cuda.device_count()} CUDA "
            f"devices that PyTorch can use. Leave --device out, or give cpu."
        )
    return name
