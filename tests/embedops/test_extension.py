from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints

import pytest
from probe import Say, say

import embedops
from embedops import ConfigError, EmbedopsError, UnknownNameError
from embedops import extension as module


def test_installed_plugins_are_listed_with_their_versions() -> None:
    found = {info.name: info for info in embedops.plugins()}
    assert {"safree", "redact", "decor"} <= set(found)
    assert found["decor"].distribution == "embedops"
    assert found["decor"].version == "0.1.0"
    assert "strength" in found["decor"].options
    assert all(info.summary for info in found.values())


def test_a_plugin_is_made_by_name_with_its_settings() -> None:
    made = embedops.plugin("decor", phrases="a hat", strength=0.5)
    assert repr(made) == "decor(phrases=('a hat',), strength=0.5)"


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        ("saffree", {}, "unknown plugin 'saffree': did you mean 'safree'"),
        ("decor", {"strenght": 1}, "'strenght': did you mean 'strength'"),
    ],
)
def test_unknown_names_get_the_nearest(name: str, config: dict[str, object], message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        embedops.plugin(name, **config)


def test_a_wrong_value_says_where_and_what() -> None:
    with pytest.raises(ConfigError, match=r"'decor': strength: .*less than or equal to 2.*got 7"):
        embedops.plugin("decor", phrases="a hat", strength=7)


def points(*entries: tuple[str, str]) -> EntryPoints:
    return EntryPoints(EntryPoint(n, v, module.ENTRY_POINTS) for n, v in entries)


def install(monkeypatch: pytest.MonkeyPatch, *entries: tuple[str, str]) -> None:
    """Let the machine have these entry points installed."""
    monkeypatch.setattr(module, "entry_points", lambda group: points(*entries))


def test_a_third_partys_plugin_takes_the_same_path(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, ("say", "probe:Say"))
    assert isinstance(embedops.plugin("say", stop=0.5), Say)
    assert [info.name for info in embedops.plugins()] == ["say"]


def test_two_packages_with_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, ("say", "probe:Say"), ("say", "elsewhere:Say"))
    with pytest.raises(EmbedopsError, match="two installed packages provide 'say'"):
        embedops.plugins()


def test_entry_points_that_are_no_plugins_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, ("say", "probe:say"))
    with pytest.raises(EmbedopsError, match=r"no subclass of embedops\.Plugin"):
        embedops.plugin("say")
    install(monkeypatch, ("other", "probe:Say"))
    with pytest.raises(EmbedopsError, match="calls itself 'say'"):
        embedops.plugin("other")


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        say().config.stop = 0.5  # type: ignore[misc]
