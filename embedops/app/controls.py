"""Form controls from a pydantic config, so that a new setting needs no new code here."""

from __future__ import annotations

import copy
import inspect
import re
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

import annotated_types
import gradio as gr
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from embedops.errors import ConfigError


@dataclass(frozen=True, eq=False)
class Control:
    """One setting as a control.

    Attributes:
        name: the setting.
        component: what the visitor moves.
        default: the setting's own.
        kind: its Python type.
        several: whether it takes several values, one a line in a text box.
    """

    name: str
    component: Any
    default: object
    kind: type
    several: bool = False

    def setting(self, value: object) -> object:
        """The component's value as the setting takes it.

        Raises:
            ConfigError: it is no number where one is needed.
        """
        if self.several:
            texts = value if isinstance(value, list) else str(value or "").splitlines()
            return tuple(text.strip() for text in texts if text.strip())
        if self.kind in (int, float):
            if value is None or value == "":
                return self.default
            if not isinstance(value, int | float):
                raise ConfigError(f"{self.name}: expected a number, got {value!r}.")
            return self.kind(value)
        return self.default if value == "" and self.default is None else value


class Controls:
    """Controls for the settings of one config.

    Args:
        config: the pydantic model.
        leave: settings without a control.
        only: only these, in this order, where given.
        prefix: of the elements' ids.
        defaults: what stands in the controls instead of the config's own defaults.
        recommended: what counts as the defaults instead of the config's own.
    """

    def __init__(
        self,
        config: type[BaseModel],
        *,
        leave: Sequence[str] = (),
        only: Sequence[str] | None = None,
        prefix: str,
        defaults: Mapping[str, object] | None = None,
        recommended: Mapping[str, object] | None = None,
    ) -> None:
        fields = config.model_fields
        names = [n for n in (only or fields) if n in fields and n not in leave]
        about = documented(config)
        made = (
            _control(
                name,
                _with_default(fields[name], (recommended or {}).get(name)),
                f"{prefix}-{name}",
                defaults or {},
                about.get(name),
            )
            for name in names
        )
        self.controls: list[Control] = [control for control in made if control is not None]

    @property
    def components(self) -> list[Any]:
        return [control.component for control in self.controls]

    def settings(self, values: Sequence[object]) -> dict[str, object]:
        """The settings that differ from the config's defaults.

        Args:
            values: of the components, in order.

        Raises:
            ConfigError: one cannot be read.
        """
        found = {}
        for control, value in zip(self.controls, values, strict=True):
            setting = control.setting(value)
            if setting != control.default:
                found[control.name] = setting
        return found


def documented(config: type[BaseModel]) -> dict[str, str]:
    """What the docstrings of a config and its bases say of each setting."""
    found: dict[str, str] = {}
    for cls in reversed(config.__mro__):
        _, _, listed = (inspect.cleandoc(cls.__doc__ or "")).partition("Attributes:\n")
        for entry in re.split(r"\n {4}(?=\S)", "\n" + listed)[1:]:
            name, colon, text = entry.partition(":")
            if colon and name in config.model_fields:
                found[name] = " ".join(text.replace("`", "").split())
    return found


def _control(
    name: str,
    field: FieldInfo,
    element: str,
    defaults: Mapping[str, object],
    about: str | None,
) -> Control | None:
    optional, kind = _unwrapped(field.annotation)
    default = field.get_default(call_default_factory=True)
    start = defaults.get(name, default)
    said = field.description or about
    common: dict[str, Any] = {
        "label": name.replace("_", " ").capitalize(),
        "info": None if not said else said[0].upper() + said[1:],
        "elem_id": element,
        "interactive": True,
    }
    if get_origin(kind) is tuple:
        inner = get_args(kind)[0]
        if get_origin(inner) is Literal:
            box = gr.CheckboxGroup(list(get_args(inner)), value=list(_listed(start)), **common)
        else:
            box = gr.Textbox("\n".join(map(str, _listed(start))), lines=2, **common)
        return Control(name, box, default, tuple, several=True)
    if get_origin(kind) is Literal:
        choices = [
            *([("automatic", None)] if optional else []),
            *((str(c), c) for c in get_args(kind)),
        ]
        return Control(name, gr.Dropdown(choices, value=start, **common), default, str)
    if kind is bool:
        return Control(name, gr.Checkbox(bool(start), **common), default, bool)
    if kind in (int, float):
        return Control(name, _number(kind, field, start, common), default, kind)
    if kind is str:
        return Control(name, gr.Textbox(str(start or ""), max_lines=1, **common), default, str)
    return None


def _with_default(field: FieldInfo, default: object) -> FieldInfo:
    if default is None:
        return field
    changed = copy.copy(field)
    changed.default = tuple(default) if isinstance(default, list) else default
    return changed


def _number(kind: type, field: FieldInfo, start: object, common: dict[str, Any]) -> Any:
    low: object = None
    high: object = None
    for bound in field.metadata:
        match bound:
            case annotated_types.Ge(ge=value) | annotated_types.Gt(gt=value):
                low = value
            case annotated_types.Le(le=value) | annotated_types.Lt(lt=value):
                high = value
    if isinstance(low, int | float) and isinstance(high, int | float):
        step = 1 if kind is int else 0.01
        return gr.Slider(low, high, value=start, step=step, **common)
    return gr.Number(value=start, precision=0 if kind is int else None, **common)


def _unwrapped(annotation: object) -> tuple[bool, Any]:
    """Whether None is allowed, and the type without it."""
    if get_origin(annotation) in (Union, types.UnionType):
        kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
        return True, kinds[0]
    return False, annotation


def _listed(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else ()
