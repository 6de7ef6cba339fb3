"""Calling a pipeline the way its own users do, with every picture's seed known."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from embedops.cli.output import Advance
from embedops.errors import ConfigError
from embedops.extension import AnyPlugin

if TYPE_CHECKING:
    from PIL.Image import Image

    from embedops.reports import Report

_STEPS = "num_inference_steps"


@dataclass(frozen=True, eq=False)
class Drawn:
    """What one call made: the pictures of the first prompt, then those of the next, and so on."""

    images: list[Image]
    report: Report | None


def call_settings(
    pipe: Any,
    *,
    steps: int | None,
    guidance: float | None,
    shape: tuple[int | None, int | None] = (None, None),
) -> dict[str, Any]:
    """The keyword arguments for a pipeline's call; what is None is left to the pipeline.

    Raises:
        ConfigError: the pipeline does not take one of them, or a length is no multiple of 8.
    """
    height, width = shape
    for name, length in (("height", height), ("width", width)):
        if length is not None and length % 8:
            raise ConfigError(
                f"--{name} {length}: expected a multiple of 8, such as {-(-length // 8) * 8}."
            )
    wanted = {_STEPS: steps, "guidance_scale": guidance, "height": height, "width": width}
    given = {key: value for key, value in wanted.items() if value is not None}
    known = _parameters(pipe)
    for key in given:
        if key not in known:
            raise ConfigError(f"{type(pipe).__name__} does not take {key}; leave that option out.")
    return given


def steps_of(pipe: Any, settings: Mapping[str, Any]) -> int:
    """The number of steps that a call with `settings` takes."""
    return int(settings.get(_STEPS, _parameters(pipe)[_STEPS].default))


def draw(
    pipe: Any,
    prompts: Sequence[str],
    seeds: Sequence[int],
    settings: Mapping[str, Any],
    *,
    plugins: Sequence[AnyPlugin] = (),
    negative: str | None = None,
    on_step: Advance | None = None,
) -> Drawn:
    """Draw `prompts`, each `len(seeds) / len(prompts)` times.

    Args:
        seeds: one a picture, in the order of the pictures.
        settings: from `call_settings`.
        negative: what guidance steers away from, for every prompt.
        on_step: told after each step, where the pipeline offers that.

    Raises:
        ConfigError: the pipeline takes no negative prompt, or makes something else than pictures.
    """
    import torch

    import embedops

    known = _parameters(pipe)
    arguments = dict(settings)
    arguments["generator"] = [torch.Generator().manual_seed(seed) for seed in seeds]
    if len(seeds) != len(prompts):
        arguments["num_images_per_prompt"] = len(seeds) // len(prompts)
    if negative is not None:
        if "negative_prompt" not in known:
            raise ConfigError(
                f"{type(pipe).__name__} takes no negative prompt. Leave --negative out."
            )
        arguments["negative_prompt"] = [negative] * len(prompts)
    if on_step is not None and "callback_on_step_end" in known:

        def after_step(*_: object) -> dict[str, Any]:
            on_step()
            return {}

        arguments["callback_on_step_end"] = after_step
    with embedops.attach(pipe, *plugins) if plugins else nullcontext() as session:
        result = pipe(list(prompts), **arguments)
        report = session.report if session is not None else None
    images = getattr(result, "images", None)
    if images is None:
        raise ConfigError(
            f"{type(pipe).__name__} makes no pictures but {type(result).__name__}. Call it from "
            f"Python; embedops.attach works there just the same."
        )
    return Drawn(list(images), report)


def _parameters(pipe: Any) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(pipe.__call__).parameters
