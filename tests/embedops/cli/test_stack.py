from __future__ import annotations

import pytest

from embedops import ConfigError, UnknownNameError
from embedops.cli.stack import build_stack


def test_plugins_keep_their_order_and_settings_find_their_plugin(say_plugin: str) -> None:
    stack = build_stack(
        [say_plugin, "safree"],
        concepts=["weapons, death", "drugs"],
        phrases=["a gun, loaded"],
        settings=["say.instead=a = b", "safree.strength=0.25", "safree.self_validation=false"],
    )
    assert [plugin.name for plugin in stack] == ["say", "safree"]
    assert stack[0].config.model_dump()["instead"] == "a = b"
    safree = stack[1].config.model_dump()
    assert safree["concepts"] == ("weapons", "death", "drugs")
    assert safree["phrases"] == ("a gun, loaded",)
    assert safree["strength"] == 0.25
    assert safree["self_validation"] is False


def test_the_name_may_be_left_out_for_one_plugin(say_plugin: str) -> None:
    [plugin] = build_stack([say_plugin], settings=["start=0.5"])
    assert plugin.config.model_dump()["start"] == 0.5


def test_values_that_look_like_json_are_read_as_json(say_plugin: str) -> None:
    [safree] = build_stack(["safree"], settings=['concepts=["weapons", "death"]', "phrases=null"])
    assert safree.config.model_dump()["concepts"] == ("weapons", "death")
    assert safree.config.model_dump()["phrases"] is None
    [say] = build_stack([say_plugin], settings=['instead="null"', "negative=null"])
    assert say.config.model_dump()["instead"] == "null"
    assert say.config.model_dump()["negative"] is None


@pytest.mark.parametrize(
    ("names", "settings", "expected"),
    [
        (["say"], ["where"], "cannot be read"),
        (["say"], ["=x"], "cannot be read"),
        (["say", "safree"], ["where=x"], "cannot be read"),
        (["say"], ["safree.strength=1"], "Add --plugin safree"),
        (["say"], ["where=[1,"], "the value is no JSON"),
        (["say"], ["start=soon"], "start: Input should be a valid number"),
        (["say", "say"], [], "given twice"),
    ],
)
def test_settings_that_cannot_be_meant(
    say_plugin: str, names: list[str], settings: list[str], expected: str
) -> None:
    with pytest.raises(ConfigError, match=expected):
        build_stack(names, settings=settings)


def test_a_misspelt_setting_is_an_error(say_plugin: str) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'where'"):
        build_stack([say_plugin], settings=["wher=x"])


def test_concepts_that_no_plugin_takes_are_an_error(say_plugin: str) -> None:
    with pytest.raises(ConfigError, match="--concepts needs a plugin that has the setting"):
        build_stack([say_plugin], concepts=["weapons"])
    with pytest.raises(ConfigError, match="--phrases needs a plugin"):
        build_stack([], phrases=["a gun"])
