"""What can go wrong, as types.

Every message says what was got, what was expected and the next step.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EmbedopsError(Exception):
    """Base of every error that embedops raises on purpose."""


class UnknownNameError(EmbedopsError, LookupError):
    """A name that nothing answers to: a plugin, an option, a preset, a stream."""

    @classmethod
    def of(cls, kind: str, got: str, known: Iterable[str]) -> UnknownNameError:
        """The error for `got`, with the nearest of the `known` names first."""
        names = sorted(known)
        near = difflib.get_close_matches(got, names, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
        listed = ", ".join(names) if names else "none"
        return cls(f"unknown {kind} {got!r}: {hint}Known: {listed}.")


class ConfigError(EmbedopsError, ValueError):
    """A setting that a plugin cannot work with."""


class UnsupportedPipelineError(EmbedopsError, TypeError):
    """No installed adapter knows the pipeline's class."""


class AttachError(EmbedopsError, RuntimeError):
    """A session was attached, used or detached in a way that cannot work."""


class GuardError(EmbedopsError, RuntimeError):
    """A plugin could not look at what the denoiser is about to read, so the call was stopped.

    Raised instead of passing something unchecked on as safe. With
    `attach(..., policy="allow-unchecked")` such calls pass, reported as not checked.
    """


class LearningError(EmbedopsError, RuntimeError):
    """A concept could not be learnt to the end. What was best before is kept and named."""


class StopLearning(Exception):  # noqa: N818  # a wish, as StopIteration is
    """Raised by an `on_step` or `on_check` of `learn` to end the run there: the best so far is
    kept and returned as if the run had come to its end."""
