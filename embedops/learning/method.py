"""What a learning method is, and how installed ones are found."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, TypeVar

import numpy as np
from pydantic import Field, ValidationError, field_validator
from torch import Tensor, nn

from embedops.concepts import Concept
from embedops.errors import ConfigError, EmbedopsError, UnknownNameError
from embedops.extension import PluginConfig, unique_entry_points
from embedops.families import Adapter, Bundle
from embedops.learning.denoising import Denoising
from embedops.learning.pictures import Picture

ENTRY_POINTS = "embedops.methods"
PLACEHOLDER = "{}"


class MethodConfig(PluginConfig):
    """Settings that every method has.

    Attributes:
        steps: optimiser steps.
        batch: pictures a step, on each device.
        rate: the learning rate of AdamW.
        vectors: embedding vectors that the placeholder stands for.
        templates: what is said of a picture without a caption; {} is the placeholder.
        accumulate: batches whose gradients are added up for one step.
        precision: what the frozen networks compute in; the vectors stay in float32.
        gradient_checkpointing: whether to trade time for memory in the denoiser.
        weighting: of the timesteps: none or min-snr, which is for epsilon and v.
        timesteps: how they are drawn: uniform, or logit-normal, which is for flow matching.
        check_every: steps between checks of the loss on fixed noise, which decide what is kept as
            the best; unless given a tenth of the steps, or more where checks would take too long.
    """

    steps: int = Field(default=500, ge=1)
    batch: int = Field(default=4, ge=1)
    rate: float = Field(default=5e-3, gt=0)
    vectors: int = Field(default=1, ge=1, le=16)
    templates: tuple[str, ...] = ("a {}", "a photo of a {}", "a picture of a {}", "one {}")
    accumulate: int = Field(default=1, ge=1)
    precision: Literal["no", "bf16", "fp16"] = "no"
    gradient_checkpointing: bool = False
    weighting: Literal["none", "min-snr"] = "none"
    timesteps: Literal["uniform", "logit-normal"] = "uniform"
    check_every: int | None = Field(default=None, ge=1)

    @field_validator("templates")
    @classmethod
    def _has_placeholder(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or any(PLACEHOLDER not in text for text in value):
            raise ValueError("every template needs {} where the placeholder stands")
        return value


@dataclass(frozen=True, eq=False)
class Task:
    """What a method is given.

    Attributes:
        adapter: the pipeline's.
        denoising: the pipeline as the loop sees it.
        pictures: what to learn from.
        token: the placeholder.
        seed: of everything that is drawn at random.
    """

    adapter: Adapter
    denoising: Denoising
    pictures: Sequence[Picture]
    token: str
    seed: int

    @property
    def pipe(self) -> Any:
        return self.adapter.pipe


@dataclass(frozen=True, eq=False)
class Ask:
    """What one picture of a batch teaches.

    Attributes:
        text: what is said of it.
        mask: `[1, side, side]` in 0..1, where its loss counts; None for everywhere.
    """

    text: str
    mask: Tensor | None = None


class Run(ABC):
    """One concept on its way. `close` leaves the pipeline as it was."""

    notes: tuple[str, ...] = ()
    """Sentences for the log: what was found and done about it."""

    @abstractmethod
    def parameters(self) -> Mapping[str, nn.Parameter]:
        """What is learnt, by name."""

    def vectors(self) -> Mapping[str, Tensor]:
        """The concept's vectors among the parameters, whose lengths the log follows."""
        return self.parameters()

    def rates(self) -> Mapping[str, float]:
        """Learning rates of the parameters that have one of their own."""
        return {}

    def ask(self, picture: int, text: str, rng: np.random.Generator) -> Ask:
        """What a picture teaches in this step.

        Args:
            picture: its number.
            text: its caption or a template, with the placeholder.
            rng: for what is drawn at random.
        """
        return Ask(text)

    def at_work(self) -> AbstractContextManager[None]:
        """Opened around every pass of the denoiser, forward and backward, for what a method has it
        do beside its own work."""
        return nullcontext()

    @abstractmethod
    def read(self, texts: Sequence[str], pictures: Sequence[int]) -> Bundle:
        """What the denoiser reads of texts, one for each of the pictures given by number."""

    def penalty(self) -> Tensor | None:
        """What the method adds to the loss of the batch that was read and predicted last."""
        return None

    @abstractmethod
    def concept(self, origin: Mapping[str, str]) -> Concept:
        """What has been learnt so far."""

    @abstractmethod
    def close(self) -> None:
        """Leave the pipeline as it was."""


ConfigT = TypeVar("ConfigT", bound=MethodConfig, covariant=True)


class Method(ABC, Generic[ConfigT]):
    """A way to learn a concept. A subclass sets `name` and `Config` and implements `begin`."""

    name: ClassVar[str]
    Config: ClassVar[type[MethodConfig]]

    def __init__(self, config: ConfigT) -> None:
        self.config = config

    @abstractmethod
    def begin(self, task: Task) -> Run:
        """Start to learn: choose where from."""


AnyMethod = Method[MethodConfig]


def method(name: str, config: Mapping[str, object]) -> AnyMethod:
    """The method called `name` with the settings given.

    Raises:
        UnknownNameError: no such method, or no such setting; the nearest names are listed.
        ConfigError: a setting has a value that the method cannot work with.
    """
    cls = method_class(name)
    for key in config:
        if key not in cls.Config.model_fields:
            raise UnknownNameError.of(f"setting of {name!r}:", key, cls.Config.model_fields)
    try:
        return cls(cls.Config.model_validate(dict(config)))
    except ValidationError as error:
        said = "; ".join(
            f"{'.'.join(map(str, e['loc']))}: {e['msg']} (got {e['input']!r})"
            for e in error.errors()
        )
        raise ConfigError(f"method {name!r}: {said}") from error


def recommended(adapter: Adapter, name: str) -> dict[str, object]:
    """Settings of a method that suit a model better than the method's defaults, as the config of
    its first text encoder may say (`learning`)."""
    for encoder in adapter.tokenizers():
        config = getattr(getattr(adapter.pipe, encoder), "config", None)
        return dict((getattr(config, "learning", None) or {}).get(name, {}))
    return {}


def method_class(name: str) -> type[AnyMethod]:
    """The class of the method called `name`.

    Raises:
        UnknownNameError: no such method; the nearest names are listed.
        EmbedopsError: it is installed and is no method.
    """
    points = unique_entry_points(ENTRY_POINTS)
    if name not in points:
        raise UnknownNameError.of("learning method", name, points)
    cls = points[name].load()
    if not (isinstance(cls, type) and issubclass(cls, Method)):
        raise EmbedopsError(
            f"entry point {name!r} in {ENTRY_POINTS!r} gives {cls!r}, which is no subclass of "
            f"embedops.learning.method.Method. Point it at the method class."
        )
    return cls


def methods() -> tuple[str, ...]:
    """Names of the installed methods."""
    return tuple(sorted(unique_entry_points(ENTRY_POINTS)))
