"""The tab in which prompts are steered away from concepts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from embedops.app import checks, marks, showing, snippets, stacks
from embedops.app.controls import Controls
from embedops.app.jobs import Job
from embedops.app.running import Outputs, Runner, Work
from embedops.app.snippets import Call, Use
from embedops.app.studio import Studio
from embedops.app.visitors import Visitors
from embedops.errors import EmbedopsError
from embedops.extension import plugin_class

WAYS = {
    "redact": ("redact",),
    "safree": ("safree",),
    "both": ("redact", "safree"),
}
"""What can be chosen, by the plugins that it takes."""
_ELSEWHERE = ("concepts", "phrases", "strength")


@dataclass(frozen=True)
class Wish:
    """What the visitor asks for, checked."""

    prompts: list[str]
    stack: list[Use]
    seeds: list[int]
    call: Call


class Steer:
    """Prompt, concepts and strength; plain and steered pictures side by side.

    Args:
        studio: the model.
        visitors: everybody's jobs.
        name: of the tab in ids and the API.
        most: pictures a prompt.
    """

    def __init__(
        self, studio: Studio, visitors: Visitors, name: str = "steer", most: int = 6
    ) -> None:
        self._studio, self._name, self._most = studio, name, most
        self._runner = Runner(name, studio, visitors)
        self._ways = {way: names for way, names in WAYS.items() if stacks.installed(*names)}
        self._fine: dict[str, Controls] = {}

    @property
    def possible(self) -> bool:
        """Whether a plugin that steers is installed."""
        return bool(self._ways)

    def build(self, examples: Sequence[str]) -> None:
        """Lay the tab out, and wire it."""
        name, moving = self._name, self._studio.moves
        with gr.Row(elem_classes="eo-split"):
            with gr.Column(scale=4, min_width=300):
                prompt = gr.Textbox(
                    examples[0],
                    label="Prompt",
                    info="Up to four, one a line."
                    if not moving
                    else "What should move, and where to.",
                    lines=2,
                    max_length=checks.LONGEST * checks.MOST_PROMPTS,
                    elem_id=f"{name}-prompt",
                )
                way = gr.Radio(
                    list(self._ways),
                    value=next(iter(self._ways)),
                    label="Method",
                    elem_id=f"{name}-way",
                )
                concepts = gr.Dropdown(
                    list(self._studio.presets),
                    value=self._first_concept(),
                    multiselect=True,
                    label="Steer away from",
                    elem_id=f"{name}-concepts",
                )
                phrases = gr.Textbox(
                    label="Words of your own",
                    info="Divided by commas.",
                    max_lines=2,
                    elem_id=f"{name}-phrases",
                )
                strength = gr.Slider(
                    0, 1, value=1, step=0.05, label="Strength", elem_id=f"{name}-strength"
                )
                with gr.Row(elem_classes="eo-actions"):
                    go = gr.Button("Draw", variant="primary", elem_id=f"{name}-go", scale=3)
                    stop = gr.Button(
                        "Stop", interactive=False, elem_id=f"{name}-stop", scale=1, min_width=80
                    )
                with gr.Accordion("Seeds and steps", open=False):
                    each = gr.Slider(
                        1,
                        self._most,
                        value=1 if moving else 3,
                        step=1,
                        label="Pictures a prompt",
                        elem_id=f"{name}-each",
                    )
                    seed = gr.Number(
                        0, precision=0, minimum=0, label="First seed", elem_id=f"{name}-seed"
                    )
                    steps = gr.Slider(
                        2,
                        2 * self._studio.steps,
                        value=self._studio.steps,
                        step=1,
                        label="Steps",
                        elem_id=f"{name}-steps",
                    )
                self._build_fine_settings(way)
                gr.Examples([[text] for text in examples], [prompt], label="Try one of these")
            with gr.Column(scale=7, min_width=320):
                status = gr.HTML(
                    marks.said("Press Draw. Sliders act when you let go."), elem_id=f"{name}-status"
                )
                pictures = gr.HTML(
                    marks.empty(
                        "Plain and steered pictures appear here, drawn from the same noise."
                    ),
                    elem_id=f"{name}-pictures",
                )
                gr.HTML(marks.LEGEND)
                read = gr.HTML(
                    marks.empty("How each token is read appears here."), elem_id=f"{name}-read"
                )
                with gr.Accordion("The same in code", open=False):
                    python = gr.Code(language="python", label="Python", elem_id=f"{name}-python")
                    command = gr.Code(
                        language="shell", label="Command line", elem_id=f"{name}-command"
                    )
        fine = [component for controls in self._fine.values() for component in controls.components]
        inputs = [prompt, way, concepts, phrases, strength, each, seed, steps, *fine]
        self._runner.connect(
            [go.click, strength.release, each.release, steps.release],
            self.draw,
            inputs,
            status,
            stop,
            [pictures, read, python, command],
            api_name=f"{name}_draw",
        )
        gr.on(
            [
                prompt.change,
                way.change,
                concepts.change,
                phrases.change,
                strength.change,
                *(component.change for component in fine),
            ],
            self.look,
            inputs,
            [read, python, command],
            api_name=f"{name}_look",
            show_progress="hidden",
            trigger_mode="always_last",
            concurrency_id="text",
            concurrency_limit=2,
        )

    def draw(self, request: gr.Request, *values: Any) -> Iterator[Outputs]:
        """Pictures, tokens and snippets, plain ones first."""
        return (yield from self._runner.run(request, 4, lambda: self._work(self._wish(*values))))

    def look(self, *values: Any) -> Outputs:
        """Tokens and snippets alone."""
        try:
            wish = self._wish(*values)
            return self._read(wish), *self._snippets(wish)
        except EmbedopsError as error:
            return marks.said(str(error), "bad"), gr.skip(), gr.skip()

    def _work(self, wish: Wish) -> Work:
        studio, prompts, seeds = self._studio, wish.prompts, wish.seeds
        plugins = stacks.made(wish.stack)
        title = " + ".join(use.name for use in wish.stack)
        nothing = gr.skip()

        def work(job: Job[Outputs]) -> Iterator[Outputs]:
            steps = int(wish.call.settings["num_inference_steps"])  # type: ignore[call-overload]
            verdicts = studio.screen_in_turn(prompts, plugins)
            read = "".join(marks.tokens(verdict, steps) for verdict in verdicts)
            waiting = [showing.Batch("plain"), showing.Batch(title)]
            yield showing.gallery(prompts, seeds, waiting), read, *self._snippets(wish)
            job.begin("drawing plainly", steps)
            plain = studio.draw_plainly(job, prompts, seeds, wish.call.settings)
            first = showing.batch(studio, "plain", plain, "as the model draws it")
            yield showing.gallery(prompts, seeds, [first, waiting[1]]), nothing, nothing, nothing
            job.begin("drawing steered", steps)
            steered = studio.draw(job, prompts, seeds, wish.call.settings, plugins)
            note = "the same noise, steered"
            if showing.same(plain, steered):
                note = "nothing was steered: bit for bit the plain pictures"
            second = showing.batch(studio, title, steered, note)
            yield showing.gallery(prompts, seeds, [first, second]), nothing, nothing, nothing

        return work

    def _wish(self, *values: Any) -> Wish:
        prompt, way, concepts, phrases, strength, each, seed, steps, *fine = values
        texts = checks.prompts(prompt or "", 1 if self._studio.moves else checks.MOST_PROMPTS)
        way = checks.known("method", way, self._ways)
        shared = {**checks.wanted(concepts or [], phrases or ""), "strength": float(strength)}
        own: dict[str, dict[str, object]] = {}
        for plugin, controls in self._fine.items():
            count = len(controls.controls)
            own[plugin] = controls.settings(fine[:count])
            fine = fine[count:]
        stack = stacks.uses(self._ways[way], shared, own)
        each, seed = checks.count(each, self._most, "pictures"), checks.seed(seed)
        steps = checks.count(steps, 2 * self._studio.steps, "steps")
        call = Call(self._studio.model, texts, seed, each, self._studio.call(steps=steps))
        return Wish(texts, stack, [seed + k for k in range(each * len(texts))], call)

    def _read(self, wish: Wish) -> str:
        steps = int(wish.call.settings["num_inference_steps"])  # type: ignore[call-overload]
        verdicts = self._studio.screen(wish.prompts, stacks.made(wish.stack))
        return "".join(marks.tokens(verdict, steps) for verdict in verdicts)

    def _snippets(self, wish: Wish) -> tuple[str, str]:
        return snippets.drawing(wish.call, [], wish.stack), snippets.commands(
            wish.call, [], wish.stack
        )

    def _build_fine_settings(self, way: Any) -> None:
        needed = dict.fromkeys(name for names in self._ways.values() for name in names)
        for plugin in needed:
            chosen = plugin in self._ways[way.value]
            with gr.Accordion(f"Finer settings of {plugin}", open=False, visible=chosen) as part:
                config = plugin_class(plugin).Config
                self._fine[plugin] = Controls(
                    config, leave=_ELSEWHERE, prefix=f"{self._name}-{plugin}"
                )

            def shown(chosen_way: str, plugin: str = plugin) -> Any:
                return gr.Accordion(visible=plugin in self._ways.get(chosen_way, ()))

            way.change(
                shown, way, part, api_visibility="private", show_progress="hidden", queue=False
            )

    def _first_concept(self) -> list[str]:
        shipped = self._studio.shipped_presets
        return [shipped[-1]] if shipped else [self._studio.presets[0]]
