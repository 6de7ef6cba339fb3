"""Plugins: what one is, and how installed ones are found."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from embedops.errors import ConfigError, EmbedopsError, UnknownNameError

if TYPE_CHECKING:  # importing torch takes seconds
    from embedops.edits import Edit
    from embedops.encoders import Encoder
    from embedops.features import FeatureEdit
    from embedops.streams import Conditioning

ENTRY_POINTS = "embedops.plugins"


class PluginConfig(BaseModel):
    """Base of every plugin's settings: frozen, and unknown keys are errors.

    A misspelt setting of a safety filter must never be ignored.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


ConfigT = TypeVar("ConfigT", bound=PluginConfig, covariant=True)


class Plugin(ABC, Generic[ConfigT]):
    """A method that edits what the denoiser reads.

    A subclass sets `name` and `Config` and implements `edit`. It holds no state that a call
    changes: one plugin object may serve several pipelines at once.
    """

    name: ClassVar[str]
    Config: ClassVar[type[PluginConfig]]

    def __init__(self, config: ConfigT) -> None:
        self.config = config

    @abstractmethod
    def edit(self, conditioning: Conditioning, encoder: Encoder) -> Edit:
        """The edit for a batch of prompts.

        Args:
            conditioning: what the plugins before this one made of the batch. Not to be changed.
            encoder: answers questions about text, with the settings of the call.
        """

    def features(self) -> FeatureEdit | None:
        """What the method does to the denoiser's own features, if anything."""
        return None

    def __repr__(self) -> str:
        settings = ", ".join(
            f"{key}={value!r}" for key, value in self.config.model_dump(exclude_unset=True).items()
        )
        return f"{self.name}({settings})"


AnyPlugin = Plugin[PluginConfig]


@dataclass(frozen=True)
class PluginInfo:
    """An installed plugin, as `embedops plugins` lists it."""

    name: str
    summary: str
    distribution: str
    version: str
    options: tuple[str, ...]


def plugin(name: str, **config: object) -> AnyPlugin:
    """The plugin called `name` with the settings given.

    Raises:
        UnknownNameError: no such plugin, or no such setting; the nearest names are listed.
        ConfigError: a setting has a value that the plugin cannot work with.
    """
    cls = plugin_class(name)
    return cls(_validated(cls, config))


def plugin_class(name: str) -> type[AnyPlugin]:
    """The class of the plugin called `name`; its `Config` tells the settings.

    Raises:
        UnknownNameError: no such plugin; the nearest names are listed.
        EmbedopsError: it is installed and broken.
    """
    points = _installed()
    if name not in points:
        raise UnknownNameError.of("plugin", name, points)
    return _load(points[name])


def plugins() -> list[PluginInfo]:
    """Every installed plugin, by name."""
    found = []
    for name, point in sorted(_installed().items()):
        cls = _load(point)
        found.append(
            PluginInfo(
                name=name,
                summary=(cls.__doc__ or "").strip().split("\n")[0],
                distribution=point.dist.name if point.dist else "unknown",
                version=point.dist.version if point.dist else "unknown",
                options=tuple(cls.Config.model_fields),
            )
        )
    return found


def unique_entry_points(group: str) -> dict[str, EntryPoint]:
    """The entry points of `group` by name.

    Raises:
        EmbedopsError: two distributions claim one name.
    """
    points: dict[str, EntryPoint] = {}
    for point in entry_points(group=group):
        other = points.get(point.name)
        if other is not None and other.value != point.value:
            raise EmbedopsError(
                f"two installed packages provide {point.name!r} in {group!r}: {other.value} and "
                f"{point.value}. Uninstall one, or ask its author to choose another name."
            )
        points[point.name] = point
    return points


def _installed() -> dict[str, EntryPoint]:
    return unique_entry_points(ENTRY_POINTS)


def _load(point: EntryPoint) -> type[AnyPlugin]:
    try:
        cls = point.load()
    except (ImportError, AttributeError) as error:
        raise EmbedopsError(
            f"plugin {point.name!r} ({point.value}) is registered and cannot be imported: {error}. "
            f"Install or uninstall its package again."
        ) from error
    if not (isinstance(cls, type) and issubclass(cls, Plugin)):
        raise EmbedopsError(
            f"entry point {point.name!r} in {ENTRY_POINTS!r} gives {cls!r}, which is no subclass "
            f"of embedops.Plugin. Point it at the plugin class."
        )
    if cls.name != point.name:
        raise EmbedopsError(
            f"entry point {point.name!r} gives a plugin that calls itself {cls.name!r}. "
            f"Make the two names one."
        )
    return cls


def _validated(cls: type[AnyPlugin], config: dict[str, object]) -> PluginConfig:
    known = cls.Config.model_fields
    for key in config:
        if key not in known:
            raise UnknownNameError.of(f"setting of plugin {cls.name!r}:", key, known)
    try:
        return cls.Config(**config)
    except ValidationError as error:
        raise ConfigError(f"plugin {cls.name!r}: {_readable(error)}") from error


def _readable(error: ValidationError) -> str:
    parts: list[str] = []
    for problem in error.errors():
        where = ".".join(map(str, problem["loc"])) or "settings"
        message = problem["msg"].removeprefix("Value error, ")
        parts.append(f"{where}: {message} (got {problem['input']!r})")
    return "; ".join(parts)


def as_plugins(given: Sequence[AnyPlugin]) -> tuple[AnyPlugin, ...]:
    """`given`, checked to be plugin objects.

    Raises:
        ConfigError: something else was given, such as a name.
    """
    for one in given:
        if not isinstance(one, Plugin):
            raise ConfigError(
                f"expected a plugin object, got {one!r}. Make one with embedops.plugin(name, ...)."
            )
    return tuple(given)
