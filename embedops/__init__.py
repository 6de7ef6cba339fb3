"""Manipulate what a diffusion model reads from text, in unmodified diffusers pipelines."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from embedops.errors import (
    AttachError,
    ConfigError,
    EmbedopsError,
    GuardError,
    LearningError,
    StopLearning,
    UnknownNameError,
    UnsupportedPipelineError,
)
from embedops.extension import Plugin, PluginConfig, plugin, plugins
from embedops.families import Adapter, Observed, adapters
from embedops.presets import ConceptConfig

if TYPE_CHECKING:
    from embedops.attaching import attach
    from embedops.concepts import Concept
    from embedops.edits import Edit, TokenTrace, Trace, Window
    from embedops.encoders import Encoder, LeaveOneOut
    from embedops.features import FeatureEdit, Step
    from embedops.learning.learn import learn
    from embedops.learning.method import methods
    from embedops.models import load
    from embedops.reports import Report, Verdict
    from embedops.schedule import Schedule
    from embedops.screening import screen
    from embedops.session import Session
    from embedops.streams import Conditioning, Role, TextStream
    from embedops.subspace import Subspace

__all__ = [
    "Adapter",
    "AttachError",
    "Concept",
    "ConceptConfig",
    "Conditioning",
    "ConfigError",
    "Edit",
    "EmbedopsError",
    "Encoder",
    "FeatureEdit",
    "GuardError",
    "LearningError",
    "LeaveOneOut",
    "Observed",
    "Plugin",
    "PluginConfig",
    "Report",
    "Role",
    "Schedule",
    "Session",
    "Step",
    "StopLearning",
    "Subspace",
    "TextStream",
    "TokenTrace",
    "Trace",
    "UnknownNameError",
    "UnsupportedPipelineError",
    "Verdict",
    "Window",
    "adapters",
    "attach",
    "learn",
    "load",
    "methods",
    "plugin",
    "plugins",
    "screen",
]

# Importing torch and diffusers takes seconds, which `embedops --help` must not pay for: what needs
# them is imported when it is first asked for.
_LATER = {
    "Concept": "concepts",
    "Conditioning": "streams",
    "Edit": "edits",
    "Encoder": "encoders",
    "FeatureEdit": "features",
    "LeaveOneOut": "encoders",
    "Report": "reports",
    "Role": "streams",
    "Schedule": "schedule",
    "Session": "session",
    "Step": "features",
    "Subspace": "subspace",
    "TextStream": "streams",
    "TokenTrace": "edits",
    "Trace": "edits",
    "Verdict": "reports",
    "Window": "edits",
    "attach": "attaching",
    "learn": "learning.learn",
    "load": "models",
    "methods": "learning.method",
    "screen": "screening",
}


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
