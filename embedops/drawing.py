"""Calling a pipeline the way its own users do, with every picture's seed known."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from embedops.errors import ConfigError
from embedops.extension import AnyPlugin

if TYPE_CHECKING:
    from PIL.Image import Image

    from embedops.concepts import Concept
    from embedops.reports import Report

STEPS, GUIDANCE, FRAMES = 20, 4.0, 8
"""What suits the models that are installed by name; others have defaults of their own."""
LEARNED_GUIDANCE = 2.0
"""The same where a learned concept is named, whose colours more guidance drives too far."""

_STEPS, _GUIDANCE = "num_inference_steps", "guidance_scale"
_IMAGES, _VIDEOS = "num_images_per_prompt", "num_videos_per_prompt"


Clip = list["Image"]
"""The frames of a video."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """What one call made: the pictures of the first prompt, then those of the next, and so on.

    Attributes:
        images: what a text-to-image pipeline drew.
        clips: what a text-to-video pipeline drew.
        report: what the session did; None without plugins.
    """

    images: list[Image]
    clips: list[Clip]
    report: Report | None


def suitable_settings(pipe: Any, model: str, *, learned: bool = False) -> dict[str, Any]:
    """Arguments of `call_settings` that suit an installed model; none for other models.

    Args:
        learned: whether a learned concept is named.
    """
    from embedops.models import is_installed

    if not is_installed(model):
        return {}
    return {
        "steps": STEPS,
        "guidance": LEARNED_GUIDANCE if learned else GUIDANCE,
        "frames": FRAMES if makes_video(pipe) else None,
    }


def call_settings(
    pipe: Any,
    *,
    steps: int | None = None,
    guidance: float | None = None,
    shape: tuple[int | None, int | None] = (None, None),
    frames: int | None = None,
) -> dict[str, Any]:
    """The keyword arguments for a pipeline's call; what is None is left to the pipeline.

    Raises:
        ConfigError: the pipeline does not take one of them, or a length is no multiple of 8.
    """
    height, width = shape
    for name, length in (("height", height), ("width", width)):
        if length is not None and length % 8:
            raise ConfigError(
                f"{name} {length}: expected a multiple of 8, such as {-(-length // 8) * 8}."
            )
    wanted = {_STEPS: steps, _GUIDANCE: guidance, "height": height, "width": width}
    wanted["num_frames"] = frames
    given = {key: value for key, value in wanted.items() if value is not None}
    known = _parameters(pipe)
    for key in given:
        if key not in known:
            raise ConfigError(f"{type(pipe).__name__} does not take {key}; leave it out.")
    return given


def steps_of(pipe: Any, settings: Mapping[str, Any]) -> int:
    """The number of steps that a call with `settings` takes."""
    return int(settings.get(_STEPS, _parameters(pipe)[_STEPS].default))


def guidance_of(pipe: Any, settings: Mapping[str, Any]) -> float | None:
    """The guidance scale of a call with `settings`; None where the pipeline takes none."""
    known = _parameters(pipe)
    if _GUIDANCE not in known:
        return None
    found = settings.get(_GUIDANCE, known[_GUIDANCE].default)
    return None if found is None else float(found)


def makes_video(pipe: Any) -> bool:
    """Whether the pipeline takes a number of frames."""
    return "num_frames" in _parameters(pipe)


def draw(
    pipe: Any,
    prompts: Sequence[str],
    seeds: Sequence[int],
    settings: Mapping[str, Any],
    *,
    plugins: Sequence[AnyPlugin] = (),
    concepts: Sequence[Concept] = (),
    negative: str | None = None,
    on_step: Callable[[], None] | None = None,
) -> Drawn:
    """Draw `prompts`, each `len(seeds) / len(prompts)` times.

    Args:
        seeds: one a picture, in the order of the pictures.
        settings: from `call_settings`.
        concepts: learned ones that the prompts may name.
        negative: what guidance steers away from, for every prompt.
        on_step: told after each step, where the pipeline offers that. What it raises ends the
            call, and the pipeline is left as it was.

    Raises:
        ConfigError: the pipeline takes no negative prompt, or makes something else than pictures.
    """
    import torch

    import embedops

    known = _parameters(pipe)
    arguments = dict(settings)
    arguments["generator"] = [torch.Generator().manual_seed(seed) for seed in seeds]
    if len(seeds) != len(prompts):
        several = _IMAGES if _IMAGES in known else _VIDEOS
        arguments[several] = len(seeds) // len(prompts)
    if negative is not None:
        if "negative_prompt" not in known:
            raise ConfigError(f"{type(pipe).__name__} takes no negative prompt. Leave it out.")
        arguments["negative_prompt"] = [negative] * len(prompts)
    if on_step is not None and "callback_on_step_end" in known:

        def after_step(*_: object) -> dict[str, Any]:
            on_step()
            return {}

        arguments["callback_on_step_end"] = after_step
    needed = bool(plugins or concepts)
    session: Any
    with embedops.attach(pipe, *plugins) if needed else nullcontext() as session:
        for concept in concepts:
            session.add(concept)
        result = pipe(list(prompts), **arguments)
        report = session.report if plugins else None
    found = (getattr(result, name, None) for name in ("images", "image", "frames"))
    images, image, clips = found
    images = image if images is None else images
    if images is None and not isinstance(clips, list):
        raise ConfigError(
            f"{type(pipe).__name__} makes no pictures but {type(result).__name__}. Call it from "
            f"Python; embedops.attach works there just the same."
        )
    return Drawn(list(images or ()), list(clips or ()), report)


def _parameters(pipe: Any) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(pipe.__call__).parameters
