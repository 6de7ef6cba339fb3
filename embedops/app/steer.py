"""The tab in which prompts are steered away from concepts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from embedops.app import checks, forms, marks, showing, snippets, stacks
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


@dataclass(frozen=True, eq=False)
class Wish:
    """What the visitor asks for, checked."""

    call: Call
    stack: list[Use]


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

    def build(self, examples: Sequence[str], each: int) -> None:
        """Lay the tab out, and wire it.

        Args:
            examples: prompts to begin with.
            each: pictures a prompt at first.
        """
        name = self._name
        with gr.Row(elem_classes="eo-split"):
            with gr.Column(scale=4, min_width=300):
                info = "" if self._studio.moves else "Up to four, one a line."
                prompt = forms.prompt_box(name, examples[0], info)
                way = gr.Radio(
                    list(self._ways),
                    value=next(iter(self._ways)),
                    label="Method",
                    elem_id=f"{name}-way",
                )
                wanted = forms.concept_boxes(name, self._studio, "Steer away from")
                strength = gr.Slider(
                    0, 1, value=1, step=0.05, label="Strength", elem_id=f"{name}-strength"
                )
                act = forms.actions(name, "Draw", "Press Draw. Sliders act when you let go.")
                forms.examples(examples, prompt)
                noise = forms.noise(name, self._studio, each, self._most)
                self._build_fine_settings(way)
            with gr.Column(scale=7, min_width=320):
                pictures = gr.HTML(
                    marks.empty("Plain and steered pictures, drawn from the same noise."),
                    elem_id=f"{name}-pictures",
                )
                gr.HTML(marks.LEGEND)
                read = gr.HTML(
                    marks.empty("How the method reads each token of the prompt."),
                    elem_id=f"{name}-read",
                )
                code = forms.code(name)
        fine = [component for controls in self._fine.values() for component in controls.components]
        inputs = [prompt, way, *wanted, strength, *noise.components, *fine]
        self._runner.connect(
            [act.go.click],
            self.draw,
            inputs,
            act,
            [pictures, read, *code.components],
            releases=[s.release for s in (strength, noise.each, noise.steps, noise.guidance)],
        )
        changing = [prompt, way, *wanted, strength, noise.steps, noise.guidance, *fine]
        gr.on(
            [component.change for component in changing],
            self.look,
            inputs,
            [read, *code.components],
            api_name=f"{name}_look",
            show_progress="hidden",
            trigger_mode="always_last",
            concurrency_id="text",
            concurrency_limit=2,
        )

    def draw(self, request: gr.Request, *values: Any) -> Iterator[Outputs]:
        """Pictures, tokens and snippets, plain ones first."""
        yield from self._runner.run(request, 4, lambda: self._work(self._wish(*values)))

    def look(self, *values: Any) -> Outputs:
        """Tokens and snippets alone."""
        try:
            wish = self._wish(*values)
            verdicts = self._studio.screen(wish.call.prompts, stacks.made(wish.stack))
        except EmbedopsError as error:
            return marks.said(str(error), "bad"), gr.skip(), gr.skip()
        read = "".join(marks.tokens(verdict, wish.call.steps) for verdict in verdicts)
        return read, *_snippets(wish)

    def _work(self, wish: Wish) -> Work:
        studio, call = self._studio, wish.call
        plugins = stacks.made(wish.stack)
        title = " + ".join(use.name for use in wish.stack)
        rest = (gr.skip(),) * 3

        def work(job: Job[Outputs]) -> Iterator[Outputs]:
            verdicts = studio.screen_in_turn(call.prompts, plugins)
            read = "".join(marks.tokens(verdict, call.steps) for verdict in verdicts)
            first, second = showing.Batch("plain"), showing.Batch(title)
            yield showing.gallery(call, [first, second]), read, *_snippets(wish)
            job.begin("drawing plainly", call.steps)
            plain = studio.draw_plainly(job, call)
            first = showing.batch(studio, "plain", plain, "as the model draws it")
            yield showing.gallery(call, [first, second]), *rest
            job.begin("drawing steered", call.steps)
            steered = studio.draw(job, call, plugins)
            note = "from the same noise"
            if showing.same(plain, steered):
                note = "nothing was steered: bit for bit the plain pictures"
            second = showing.batch(studio, title, steered, note)
            yield showing.gallery(call, [first, second]), *rest

        return work

    def _wish(self, *values: Any) -> Wish:
        prompt, way, concepts, phrases, strength, each, seed, steps, guidance, *fine = values
        texts = checks.prompts(prompt or "", 1 if self._studio.moves else checks.MOST_PROMPTS)
        way = checks.known("method", way, self._ways)
        shared = {**checks.wanted(concepts or [], phrases or ""), "strength": float(strength)}
        own: dict[str, dict[str, object]] = {}
        for plugin, controls in self._fine.items():
            count = len(controls.controls)
            own[plugin] = controls.settings(fine[:count])
            fine = fine[count:]
        stack = stacks.uses(self._ways[way], shared, own)
        call = forms.call(self._studio, texts, self._most, each, seed, steps, guidance)
        return Wish(call, stack)

    def _build_fine_settings(self, way: Any) -> None:
        needed = dict.fromkeys(name for names in self._ways.values() for name in names)
        for plugin in needed:
            chosen = plugin in self._ways[way.value]
            with gr.Accordion(f"Finer settings of {plugin}", open=False, visible=chosen) as part:
                self._fine[plugin] = Controls(
                    plugin_class(plugin).Config,
                    leave=_ELSEWHERE,
                    prefix=f"{self._name}-{plugin}",
                )

            def shown(chosen_way: str, plugin: str = plugin) -> Any:
                return gr.Accordion(visible=plugin in self._ways.get(chosen_way, ()))

            way.change(
                shown, way, part, api_visibility="private", show_progress="hidden", queue=False
            )


def _snippets(wish: Wish) -> tuple[str, str]:
    stacks_drawn: tuple[Sequence[Use], ...] = ([], wish.stack)
    return (
        snippets.drawing(wish.call, *stacks_drawn),
        snippets.commands(wish.call, *stacks_drawn),
    )
