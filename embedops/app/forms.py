"""Parts that several tabs share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from embedops.app import checks, marks
from embedops.app.snippets import Call
from embedops.app.studio import Studio


@dataclass(frozen=True, eq=False)
class Actions:
    """The button that starts, the one that stops, and the line that tells how it goes."""

    go: Any
    stop: Any
    status: Any


@dataclass(frozen=True, eq=False)
class Noise:
    """How many pictures, from which seed, in how many steps, at which guidance."""

    each: Any
    seed: Any
    steps: Any
    guidance: Any

    @property
    def components(self) -> list[Any]:
        return [self.each, self.seed, self.steps, self.guidance]


@dataclass(frozen=True, eq=False)
class Code:
    """The same in Python and on the command line."""

    python: Any
    command: Any

    @property
    def components(self) -> list[Any]:
        return [self.python, self.command]


def prompt_box(name: str, value: str, info: str = "", label: str = "Prompt") -> Any:
    """A text box for prompts."""
    return gr.Textbox(
        value,
        label=label,
        info=info or None,
        lines=2,
        max_length=checks.LONGEST * checks.MOST_PROMPTS,
        elem_id=f"{name}-prompt",
    )


def concept_boxes(name: str, studio: Studio, label: str) -> tuple[Any, Any]:
    """Presets to choose from, and words of one's own."""
    shipped = studio.shipped_presets
    concepts = gr.Dropdown(
        list(studio.presets),
        value=[shipped[-1]] if shipped else [studio.presets[0]],
        multiselect=True,
        label=label,
        elem_id=f"{name}-concepts",
    )
    phrases = gr.Textbox(
        label="Words of your own",
        info="Divided by commas.",
        max_lines=2,
        elem_id=f"{name}-phrases",
    )
    return concepts, phrases


def actions(name: str, label: str, hint: str) -> Actions:
    """Start, Stop and the status line."""
    with gr.Row(elem_classes="eo-actions"):
        go = gr.Button(label, variant="primary", elem_id=f"{name}-go", scale=3)
        stop = gr.Button("Stop", interactive=False, elem_id=f"{name}-stop", scale=1, min_width=80)
    return Actions(go, stop, gr.HTML(marks.said(hint), elem_id=f"{name}-status"))


def noise(name: str, studio: Studio, each: int, most: int, guidance: float | None = None) -> Noise:
    """Seeds, steps and guidance, folded away; the guidance is the model's unless given."""
    scale = studio.guidance if guidance is None else guidance
    with gr.Accordion("Seeds, steps and guidance", open=False):
        several = gr.Slider(
            1,
            max(most, 2),
            value=each,
            visible=most > 1,
            step=1,
            label="Pictures a prompt",
            elem_id=f"{name}-each",
        )
        seed = gr.Number(0, precision=0, minimum=0, label="First seed", elem_id=f"{name}-seed")
        steps = gr.Slider(
            1,
            2 * studio.steps,
            value=studio.steps,
            step=1,
            label="Steps",
            elem_id=f"{name}-steps",
        )
        strongest = gr.Slider(
            0,
            checks.MOST_GUIDANCE,
            value=scale or 0,
            visible=scale is not None,
            step=0.5,
            label="Guidance",
            elem_id=f"{name}-guidance",
        )
    return Noise(several, seed, steps, strongest)


def code(name: str, title: str = "The same in code") -> Code:
    """The snippets, folded away."""
    with gr.Accordion(title, open=False, elem_id=f"{name}-code"):
        python = gr.Code(language="python", label="Python", elem_id=f"{name}-python")
        command = gr.Code(language="shell", label="Command line", elem_id=f"{name}-command")
    return Code(python, command)


def examples(texts: Sequence[str], prompt: Any) -> None:
    """Prompts that fill the box at a click."""
    gr.Examples([[text] for text in texts], [prompt], label="Try one of these")


def call(
    studio: Studio,
    prompts: Sequence[str],
    most: int,
    each: object,
    seed: object,
    steps: object,
    guidance: object,
) -> Call:
    """What is to be drawn, checked.

    Raises:
        ConfigError: a number is out of range.
    """
    settings = studio.call(
        steps=checks.count(steps, 2 * studio.steps, "steps"), guidance=checks.guidance(guidance)
    )
    count = checks.count(each, most, "pictures a prompt")
    return Call(studio.model, list(prompts), checks.seed(seed), count, settings)
