"""From what a visitor chose to plugins, and to what their snippet says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import embedops
from embedops.app.snippets import Use
from embedops.errors import UnknownNameError
from embedops.extension import AnyPlugin, plugin_class


def installed(*names: str) -> bool:
    """Whether all these plugins are."""
    try:
        for name in names:
            plugin_class(name)
    except UnknownNameError:
        return False
    return True


def uses(
    names: Sequence[str],
    shared: Mapping[str, object],
    own: Mapping[str, Mapping[str, object]] | None = None,
) -> list[Use]:
    """The plugins called `names`, in that order.

    Args:
        names: of plugins.
        shared: settings for each plugin that has them.
        own: further settings, by plugin.
    """
    found = []
    for name in names:
        known = plugin_class(name).Config.model_fields
        settings = {key: value for key, value in shared.items() if key in known}
        found.append(Use(name, {**settings, **(own or {}).get(name, {})}))
    return found


def made(stack: Sequence[Use]) -> list[AnyPlugin]:
    """The plugins themselves.

    Raises:
        ConfigError: one cannot work with a setting.
        UnknownNameError: no such plugin, setting or preset.
    """
    return [embedops.plugin(use.name, **use.settings) for use in stack]
