"""From `--plugin`, `--concepts`, `--phrases` and `--set` to plugin objects."""

from __future__ import annotations

import json
from collections.abc import Sequence

from embedops.errors import ConfigError
from embedops.extension import AnyPlugin, plugin, plugin_class


def build_stack(
    names: Sequence[str],
    *,
    concepts: Sequence[str] = (),
    phrases: Sequence[str] = (),
    settings: Sequence[str] = (),
) -> list[AnyPlugin]:
    """The plugins called `names`, in that order.

    Args:
        names: each at most once.
        concepts: presets, several in one text divided by commas; every plugin that has a setting
            of that name gets them.
        phrases: the same for phrases, taken whole.
        settings: `NAME.KEY=VALUE`, or `KEY=VALUE` where there is one plugin.

    Raises:
        ConfigError: a setting that no plugin given has, or a text that is no setting.
        UnknownNameError: no plugin, or no setting of it, is called so.
    """
    configs: dict[str, dict[str, object]] = {}
    for name in names:
        if name in configs:
            raise ConfigError(f"plugin {name!r} is given twice. Give it once, with all settings.")
        configs[name] = {}
    presets = [part.strip() for text in concepts for part in text.split(",") if part.strip()]
    for key, values in (("concepts", presets), ("phrases", list(phrases))):
        if values:
            _share(configs, key, values)
    for text in settings:
        name, key, value = _setting(text, configs)
        configs[name][key] = value
    return [plugin(name, **config) for name, config in configs.items()]


def _share(configs: dict[str, dict[str, object]], key: str, values: list[str]) -> None:
    takers = [name for name in configs if key in plugin_class(name).Config.model_fields]
    if not takers:
        given = ", ".join(configs) or "none"
        raise ConfigError(
            f"--{key} needs a plugin that has the setting {key!r}; plugins given: {given}. "
            f"`embedops plugins` lists the settings of each."
        )
    for name in takers:
        configs[name][key] = tuple(values)


def _setting(text: str, configs: dict[str, dict[str, object]]) -> tuple[str, str, object]:
    target, equals, value = text.partition("=")
    name, dot, key = target.strip().rpartition(".")
    if not dot and len(configs) == 1:
        name = next(iter(configs))
    if not equals or not key or not name:
        raise ConfigError(
            f"--set {text!r} cannot be read: expected NAME.KEY=VALUE, such as safree.strength=0.5 "
            f"(KEY=VALUE is enough where one plugin is given)."
        )
    if name not in configs:
        given = ", ".join(configs) or "none"
        raise ConfigError(
            f"--set {text!r} is for plugin {name!r}, which is not among those given ({given}). "
            f"Add --plugin {name}."
        )
    return name, key, _value(text, value)


def _value(text: str, value: str) -> object:
    # Numbers and truth values need no reading here: the plugin's own model converts them.
    if not value.startswith(("[", "{", '"')) and value != "null":
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise ConfigError(f"--set {text!r}: the value is no JSON: {error}.") from error
