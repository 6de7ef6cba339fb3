"""The tab in which one stack of plugins is held against another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from embedops.app import checks, forms, marks, showing, snippets
from embedops.app.jobs import Job
from embedops.app.running import Outputs, Runner, Work
from embedops.app.snippets import Call, Use
from embedops.app.studio import Studio
from embedops.app.visitors import Visitors
from embedops.cli.stack import build_stack
from embedops.extension import AnyPlugin, plugin_class, plugins

_MOST = 6
_PLAIN = "plain"


@dataclass(frozen=True, eq=False)
class Side:
    """One of the two stacks."""

    plugins: list[AnyPlugin]

    @property
    def title(self) -> str:
        return " → ".join(plugin.name for plugin in self.plugins) or _PLAIN

    def uses(self) -> list[Use]:
        """As the snippets say it."""
        return [Use(p.name, p.config.model_dump(exclude_unset=True)) for p in self.plugins]


class Compare:
    """Two stacks of plugins on the same prompts and noise.

    Args:
        studio: the model.
        visitors: everybody's jobs.
    """

    def __init__(self, studio: Studio, visitors: Visitors) -> None:
        self._studio = studio
        self._runner = Runner("compare", studio, visitors)
        self._installed = [info.name for info in plugins()]

    @property
    def possible(self) -> bool:
        """Whether any plugin is installed."""
        return bool(self._installed)

    def build(self, examples: Sequence[str], each: int) -> None:
        """Lay the tab out, and wire it."""
        names = self._installed
        with gr.Row(elem_classes="eo-split"):
            with gr.Column(scale=4, min_width=300):
                prompt = forms.prompt_box("compare", examples[0], "Up to four, one a line.")
                first = self._stack("first", "One stack", names[:1])
                second = self._stack("second", "Another", names[1:3] or [])
                wanted = forms.concept_boxes("compare", self._studio, "Concepts for all of them")
                act = forms.actions("compare", "Compare", "Same prompts, same noise, two stacks.")
                forms.examples(examples, prompt)
                noise = forms.noise("compare", self._studio, each, _MOST)
            with gr.Column(scale=7, min_width=320):
                pictures = gr.HTML(
                    marks.empty("A row a stack, with what the evaluator sees below each picture."),
                    elem_id="compare-pictures",
                )
                counts = gr.HTML(elem_id="compare-counts")
                code = forms.code("compare")
        self._runner.connect(
            [act.go.click],
            self.draw,
            [prompt, *first, *second, *wanted, *noise.components],
            act,
            [pictures, counts, *code.components],
        )

    def draw(self, request: gr.Request, *values: Any) -> Iterator[Outputs]:
        """Both stacks' pictures."""
        yield from self._runner.run(request, 4, lambda: self._work(*values))

    def _stack(self, name: str, label: str, value: Sequence[str]) -> tuple[Any, Any]:
        chosen = gr.Dropdown(
            self._installed,
            value=list(value),
            multiselect=True,
            label=label,
            info="In the order chosen; none is the plain model.",
            elem_id=f"compare-{name}",
        )
        with gr.Accordion(f"Its settings ({label.lower()})", open=False):
            settings = gr.Textbox(
                label="Settings",
                info="One a line: PLUGIN.SETTING=VALUE, such as redact.strength=0.5.",
                placeholder="redact.strength=0.5",
                lines=2,
                max_length=2000,
                elem_id=f"compare-{name}-settings",
            )
        return chosen, settings

    def _work(self, *values: Any) -> Work:
        prompt, one, one_set, other, other_set, concepts, phrases, *noise = values
        studio = self._studio
        call = forms.call(studio, checks.prompts(prompt or ""), _MOST, *noise)
        sides = [
            self._side(one, one_set, concepts, phrases),
            self._side(other, other_set, concepts, phrases),
        ]
        code = _snippets(call, sides)
        rest = (gr.skip(),) * 2

        def work(job: Job[Outputs]) -> Iterator[Outputs]:
            batches = [showing.Batch(side.title) for side in sides]
            yield showing.gallery(call, batches), "", *code
            for number, side in enumerate(sides):
                job.begin(f"drawing {side.title}", call.steps)
                drawn = (
                    studio.draw(job, call, side.plugins)
                    if side.plugins
                    else studio.draw_plainly(job, call)
                )
                batches[number] = showing.batch(studio, side.title, drawn)
                yield showing.gallery(call, batches), showing.counts(batches), *rest

        return work

    def _side(self, chosen: object, settings: object, concepts: object, phrases: object) -> Side:
        names = [checks.known("plugin", name, self._installed) for name in checks.listed(chosen)]
        if not names:
            return Side([])
        takers = [n for n in names if "concepts" in plugin_class(n).Config.model_fields]
        wanted = checks.wanted(checks.listed(concepts), str(phrases or "")) if takers else {}
        lines = [line.strip() for line in str(settings or "").splitlines() if line.strip()]
        return Side(
            build_stack(
                names,
                concepts=wanted.get("concepts", ()),
                phrases=wanted.get("phrases", ()),
                settings=lines,
            )
        )


def _snippets(call: Call, sides: Sequence[Side]) -> tuple[str, str]:
    uses = [side.uses() for side in sides]
    return snippets.drawing(call, *uses), snippets.commands(call, *uses)
