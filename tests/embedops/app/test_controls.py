from __future__ import annotations

from typing import Literal

import gradio as gr
import pytest
from pydantic import Field

from embedops import ConfigError, PluginConfig
from embedops.app.controls import Controls, documented


class Settings(PluginConfig):
    """Something.

    Attributes:
        share: how much of it,
            altogether.
        mode: which `way`.
    """

    share: float = Field(0.5, ge=0, le=1)
    count: int = Field(3, ge=1)
    mode: Literal["fast", "slow"] | None = None
    places: tuple[Literal["here", "there"], ...] = ("here",)
    words: tuple[str, ...] = ()
    on: bool = True
    text: str = "a {}"
    odd: dict[str, int] = Field(default_factory=dict)


@pytest.fixture
def controls() -> Controls:
    with gr.Blocks():
        return Controls(Settings, prefix="test")


def test_each_type_has_its_control(controls: Controls) -> None:
    kinds = {one.name: type(one.component).__name__ for one in controls.controls}
    assert kinds == {
        "share": "Slider",
        "count": "Number",
        "mode": "Dropdown",
        "places": "CheckboxGroup",
        "words": "Textbox",
        "on": "Checkbox",
        "text": "Textbox",
    }
    assert all(one.component.label and one.component.elem_id for one in controls.controls)


def test_only_what_differs_from_the_defaults_is_said(controls: Controls) -> None:
    values = [0.5, 3, None, ["here"], "", True, "a {}"]
    assert controls.settings(values) == {}
    values = [1, 4, "slow", ["here", "there"], "a\n b ", False, "the {}"]
    found = controls.settings(values)
    assert found == {
        "share": 1.0,
        "count": 4,
        "mode": "slow",
        "places": ("here", "there"),
        "words": ("a", "b"),
        "on": False,
        "text": "the {}",
    }
    assert Settings(**found).model_dump(exclude_unset=True) == found  # type: ignore[arg-type]


def test_an_emptied_number_is_the_default(controls: Controls) -> None:
    assert controls.settings([None, None, None, ["here"], "", True, "a {}"]) == {}
    with pytest.raises(ConfigError, match="count: expected a number"):
        controls.settings([0.5, "many", None, ["here"], "", True, "a {}"])


def test_what_the_docstring_says_stands_beside_the_control(controls: Controls) -> None:
    assert documented(Settings) == {"share": "how much of it, altogether.", "mode": "which way."}
    assert controls.controls[0].component.info == "How much of it, altogether."
    assert controls.controls[1].component.info is None
