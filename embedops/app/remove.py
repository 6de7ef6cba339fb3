"""The tab in which unwanted words are projected out of a prompt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr
import torch

from embedops.app import checks, forms, marks, plots, showing, snippets, stacks
from embedops.app.controls import Controls
from embedops.app.jobs import Job
from embedops.app.running import Outputs, Runner, Work
from embedops.app.snippets import Call, Use
from embedops.app.studio import Studio
from embedops.app.visitors import Visitors
from embedops.errors import ConfigError
from embedops.extension import plugin_class
from embedops.streams import Conditioning, Role

PLUGIN = "decor"
_MOST = 3
_STRENGTHS = 5
_NAMES = {Role.CONTENT: "words", Role.END: "end", Role.PAD: "padding"}


@dataclass(frozen=True, eq=False)
class Wish:
    """What the visitor asks for, checked."""

    call: Call
    use: Use
    strengths: list[float]

    def at(self, strength: float) -> Use:
        """The plugin at one strength."""
        return replace(self.use, settings={**self.use.settings, "strength": strength})


class Remove:
    """A row of pictures over the strength, and the singular values before and after.

    Args:
        studio: the model.
        visitors: everybody's jobs.
    """

    def __init__(self, studio: Studio, visitors: Visitors) -> None:
        self._studio = studio
        self._runner = Runner("remove", studio, visitors)
        self._controls: tuple[Controls, ...] = ()

    @property
    def possible(self) -> bool:
        """Whether the plugin is installed."""
        return stacks.installed(PLUGIN)

    def build(self, examples: Sequence[str]) -> None:
        """Lay the tab out, and wire it."""
        with gr.Row(elem_classes="eo-split"):
            with gr.Column(scale=4, min_width=300):
                prompt = forms.prompt_box("remove", examples[0])
                wanted = forms.concept_boxes("remove", self._studio, "Unwanted")
                top = gr.Slider(
                    0.1,
                    2,
                    value=1,
                    step=0.1,
                    label="Strength up to",
                    info="1 takes all that lies in the unwanted words' directions.",
                    elem_id="remove-top",
                )
                config = plugin_class(PLUGIN).Config
                places = Controls(config, only=("positions",), prefix="remove")
                act = forms.actions("remove", "Draw", "Five strengths, from the same noise.")
                forms.examples(examples, prompt)
                noise = forms.noise("remove", self._studio, 1, _MOST)
                with gr.Accordion("Finer settings", open=False):
                    leave = ("concepts", "phrases", "strength", "positions")
                    fine = Controls(config, leave=leave, prefix="remove")
            with gr.Column(scale=7, min_width=320):
                pictures = gr.HTML(
                    marks.empty("A row of pictures, from untouched to fully projected."),
                    elem_id="remove-pictures",
                )
                spectrum = gr.Plot(
                    label="Singular values of what the denoiser reads", elem_id="remove-spectrum"
                )
                told = gr.HTML(elem_id="remove-told")
                code = forms.code("remove")
        self._controls = (places, fine)
        components = [*places.components, *fine.components]
        self._runner.connect(
            [act.go.click],
            self.draw,
            [prompt, *wanted, top, *noise.components, *components],
            act,
            [pictures, spectrum, told, *code.components],
            releases=[top.release],
        )

    def draw(self, request: gr.Request, *values: Any) -> Iterator[Outputs]:
        """Pictures over the strength."""
        yield from self._runner.run(request, 5, lambda: self._work(self._wish(*values)))

    def _wish(self, *values: Any) -> Wish:
        prompt, concepts, phrases, top, each, seed, steps, guidance, *rest = values
        settings: dict[str, object] = dict(checks.wanted(checks.listed(concepts), phrases or ""))
        for controls in self._controls:
            count = len(controls.controls)
            settings |= controls.settings(rest[:count])
            rest = rest[count:]
        if settings.get("positions") == ():
            raise ConfigError("no position is chosen. Choose words, end or pad.")
        texts = [checks.prompt(prompt or "")]
        call = forms.call(self._studio, texts, _MOST, each, seed, steps, guidance)
        strengths = [float(top) * k / (_STRENGTHS - 1) for k in range(_STRENGTHS)]
        return Wish(call, Use(PLUGIN, settings), [round(s, 3) for s in strengths])

    def _work(self, wish: Wish) -> Work:
        studio, call = self._studio, wish.call
        stacks.made([wish.at(wish.strengths[-1])])  # tells of a wrong setting before any work
        code = _snippets(wish)

        def work(job: Job[Outputs]) -> Iterator[Outputs]:
            columns = [showing.Batch(_title(s)) for s in wish.strengths]
            series, told = self._spectrum(wish)
            yield showing.across(call, columns), plots.spectrum(series), told, *code
            job.begin("drawing", len(columns) * call.steps)
            for number, strength in enumerate(wish.strengths):
                if strength == 0:
                    drawn = studio.draw_plainly(job, call)
                else:
                    drawn = studio.draw(job, call, stacks.made([wish.at(strength)]))
                columns[number] = showing.batch(studio, _title(strength), drawn)
                yield showing.across(call, columns), *(gr.skip(),) * 4

        return work

    def _spectrum(self, wish: Wish) -> tuple[dict[str, list[float]], str]:
        encoder = self._studio.encoder()
        before = encoder.encode(wish.call.prompts)
        [plugin] = stacks.made([wish.at(wish.strengths[-1])])
        edit = plugin.edit(before, encoder)
        series = spectra(before)
        series |= {f"{name} after": values for name, values in spectra(edit.conditioning).items()}
        ranks = ", ".join(
            f"{k.removeprefix('rank.')} {v:.0f}" for k, v in edit.traces[0].values.items()
        )
        return series, marks.said(f"Directions that are taken out: {ranks}.")


def spectra(conditioning: Conditioning) -> dict[str, list[float]]:
    """Singular values of the rows of the first prompt's words, and of its padding, in the first
    text encoder; largest first."""
    stream = conditioning.streams[0]
    found = {}
    for role, name in _NAMES.items():
        rows = stream.embeds[0, stream.positions(0, role)].float()
        if len(rows) and role != Role.END:
            found[name] = torch.linalg.svdvals(rows.cpu()).tolist()
    return found


def _title(strength: float) -> str:
    return f"strength {strength:g}"


def _snippets(wish: Wish) -> tuple[str, str]:
    uses: list[list[Use]] = [[wish.at(s)] for s in wish.strengths if s]
    return snippets.drawing(wish.call, [], *uses), snippets.commands(wish.call, [], *uses)
