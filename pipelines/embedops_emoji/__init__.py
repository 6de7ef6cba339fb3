"""A small Stable Diffusion model that draws emoji scenes, and the evaluator that reads them.

`load()` gives an unmodified `diffusers.StableDiffusionPipeline`, offline; `Evaluator` tells what
its pictures show.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from embedops_emoji.evaluator import Evaluator, Reading
    from embedops_emoji.loader import load, model_path

__all__ = ["Evaluator", "Reading", "load", "model_path"]


def __getattr__(name: str) -> object:
    # Importing torch and diffusers takes seconds; a plugin registry must not pay for that.
    if name in ("Evaluator", "Reading"):
        from embedops_emoji import evaluator

        return getattr(evaluator, name)
    if name in ("load", "model_path"):
        from embedops_emoji import loader

        return getattr(loader, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
