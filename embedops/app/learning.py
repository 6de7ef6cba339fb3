"""The tab in which a concept is learnt from pictures, and tried."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

import embedops
from embedops.app import checks, forms, marks, showing, snippets
from embedops.app.controls import Controls
from embedops.app.jobs import Job, Stopped
from embedops.app.marks import Shelf, Tile
from embedops.app.running import Outputs, Runner, Work, session_of
from embedops.app.snippets import Call, Use
from embedops.app.story import Story
from embedops.app.studio import Studio
from embedops.app.subjects import subjects
from embedops.app.visitors import Visitors
from embedops.concepts import Concept
from embedops.errors import ConfigError, StopLearning
from embedops.learning.learn import CONCEPT_FILE
from embedops.learning.loop import StepReport
from embedops.learning.method import method, method_class, methods

_FIRST = "detex"
_MOST_STEPS, _STEPS = 1000, 75
_CHECKS = 5
"""How often pictures are drawn, the last time at the end."""
_TEMPLATES = ("a {}", "a {} in the snow")
_ELSEWHERE = ("steps", "init", "check_every")
_QUEUE = "learning"
_OUTPUTS = 9
"""What the learning updates, besides its status line."""
_REDRAW = 0.7
"""Seconds between two updates of the plots."""


@dataclass(frozen=True, eq=False)
class Wish:
    """What the visitor asks for, checked."""

    use: Use
    files: list[Path]
    masks: Path | None
    token: str
    call: Call


class Learn:
    """Pictures in, a concept out, and what happens between.

    Args:
        studio: the model.
        visitors: everybody's jobs and files.
    """

    def __init__(self, studio: Studio, visitors: Visitors) -> None:
        self._studio, self._visitors = studio, visitors
        self._runner = Runner("learn", studio, visitors, "Stopped. The best so far is kept.")
        self._trying = Runner("try", studio, visitors)
        self._subjects = {subject.name: subject for subject in subjects()}
        self._methods = [name for name in methods() if method_class(name)]
        self._fine: dict[str, Controls] = {}

    @property
    def possible(self) -> bool:
        """Whether a method is installed and the model can learn."""
        return bool(self._methods) and self._studio.learns

    def build(self) -> None:
        """Lay the tab out, and wire it."""
        first = _FIRST if _FIRST in self._methods else self._methods[0]
        with gr.Row(elem_classes="eo-split"):
            with gr.Column(scale=4, min_width=300):
                subject = gr.Radio(
                    list(self._subjects),
                    label="Learn one of these",
                    info="Things that the model has never seen.",
                    value=next(iter(self._subjects), None),
                    visible=bool(self._subjects),
                    elem_id="learn-subject",
                )
                files = gr.File(
                    label="or drop a few pictures of your own",
                    file_count="multiple",
                    file_types=[".png", ".jpg", ".jpeg", ".webp"],
                    height=150,
                    elem_id="learn-files",
                )
                chosen = gr.Dropdown(
                    self._methods, value=first, label="Method", elem_id="learn-method"
                )
                with gr.Row():
                    token = gr.Textbox(
                        "<toy>", label="Its name in prompts", max_length=64, min_width=120,
                        elem_id="learn-token",
                    )  # fmt: skip
                    init = gr.Textbox(
                        "object", label="Begin from", max_length=100, min_width=120,
                        elem_id="learn-init",
                    )  # fmt: skip
                steps = gr.Slider(
                    5, _MOST_STEPS, value=_STEPS, step=5, label="Steps", elem_id="learn-steps"
                )
                act = forms.actions("learn", "Learn", "Stop keeps the best so far.")
                seed = gr.Number(0, precision=0, minimum=0, label="Seed", elem_id="learn-seed")
                self._build_fine_settings(chosen, first)
            with gr.Column(scale=7, min_width=320):
                given = gr.HTML(self._shown(next(iter(self._subjects), None), None))
                with gr.Row():
                    curves = gr.Plot(label="Loss", elem_id="learn-loss", min_width=280)
                    lengths = gr.Plot(label="Vectors", elem_id="learn-norm", min_width=280)
                pictures = gr.HTML(
                    marks.empty("What the concept draws, while it learns."),
                    elem_id="learn-pictures",
                )
                concept = gr.State(None, time_to_live=3600)
                download = gr.DownloadButton(
                    "Download the concept (safetensors)", interactive=False, elem_id="learn-file"
                )
                code = forms.code("learn", "The learning in code")
                prompt, parts, says = self._build_trying(concept)
        gr.on(
            [subject.change, files.change],
            self._shown,
            [subject, files],
            given,
            api_visibility="private",
            show_progress="hidden",
        )
        token.blur(
            _renamed,
            [token, prompt],
            prompt,
            api_visibility="private",
            show_progress="hidden",
            queue=False,
        )
        fine = [component for controls in self._fine.values() for component in controls.components]
        ready = [concept, download, parts, says]
        outputs = [curves, lengths, pictures, *ready, *code.components]
        self._runner.connect(
            [act.go.click],
            self.learn,
            [subject, files, chosen, token, init, steps, seed, *fine],
            act,
            outputs,
            queue=_QUEUE,
            stopped=self.finish,
        )

    def learn(self, request: gr.Request, *values: Any) -> Iterator[Outputs]:
        """Everything on the way, and the concept at the end."""
        session = session_of(request)
        yield from self._runner.run(request, _OUTPUTS, lambda: self._work(session, *values))

    def finish(self, request: gr.Request) -> Outputs:
        """Stop, wait for the best so far, and show it."""
        job = self._visitors.stop(session_of(request), self._runner.name)
        last: Outputs = _none(_OUTPUTS)
        if job is not None and job.alive:
            job.join()
            last = job.last or last
        return marks.said(self._runner.stopped_says), *last

    def try_it(self, request: gr.Request, *values: Any) -> Iterator[Outputs]:
        """Pictures of the concept in new prompts."""
        yield from self._trying.run(request, 3, lambda: self._tried(*values))

    def _work(self, session: str, *values: Any) -> Work:
        wish = self._wish(session, *values)
        method(wish.use.name, wish.use.settings)  # tells of a wrong setting before any work
        folder = self._visitors.folder(session) / f"run-{time.time_ns()}"
        named = self._named(values[0], values[1])
        masks = named if wish.masks is not None else None
        code = snippets.learning(wish.call, named, wish.token, wish.use, masks)
        studio, total = self._studio, int(str(wish.use.settings["steps"]))

        def work(job: Job[Outputs]) -> Iterator[Outputs]:
            story = Story()
            job.begin(f"learning {wish.token}", total)
            yield (*story.plots(), marks.empty("The first pictures come soon."), *_none(4), *code)

            def on_step(report: StepReport) -> None:
                story.add(report)
                _or_end(job.step)
                if time.monotonic() - story.told > _REDRAW:
                    story.told = time.monotonic()
                    job.tell((*story.plots(), *_none(7)))

            def on_check(report: StepReport, concept: Concept) -> None:
                def drawing() -> None:
                    drawn = studio.draw(job, wish.call, (), [concept], counted=False)
                    title = f"step {report.step}"
                    story.drawn.append((title, showing.batch(studio, title, drawn)))

                _or_end(drawing)
                job.tell((*story.plots(), story.pictures(wish.call), *_none(6)))

            concept = embedops.learn(
                wish.use.name,
                studio.seat(),
                wish.files,
                wish.token,
                out=folder,
                masks=wish.masks,
                seed=wish.call.seed,
                on_step=on_step,
                on_check=on_check,
                **wish.use.settings,
            )
            pictures = story.pictures(wish.call) if story.drawn else gr.skip()
            yield (*story.plots(), pictures, *_ready(concept, folder / CONCEPT_FILE), *_none(2))

        return work

    def _wish(self, session: str, *values: Any) -> Wish:
        subject, files, chosen, token, init, steps, seed, *fine = values
        name = checks.known("method", chosen, self._methods)
        pictures, masks = self._pictures(session, subject, files)
        settings: dict[str, object] = {}
        for other, controls in self._fine.items():
            count = len(controls.controls)
            if other == name:
                settings = controls.settings(fine[:count])
            fine = fine[count:]
        steps = checks.count(steps, _MOST_STEPS, "steps")
        settings |= {"steps": steps, "check_every": math.ceil(steps / _CHECKS)}
        if "init" in method_class(name).Config.model_fields and str(init or "").strip():
            settings["init"] = str(init).strip()
        token = str(token or "").strip()
        prompts = [text.format(token) for text in _TEMPLATES]
        call = Call(
            self._studio.model,
            prompts,
            checks.seed(seed),
            1,
            self._studio.call(
                steps=max(1, self._studio.steps // 2), guidance=self._studio.learned_guidance
            ),
            same_seed=True,
        )
        return Wish(Use(name, settings), pictures, masks, token, call)

    def _pictures(
        self, session: str, subject: object, files: object
    ) -> tuple[list[Path], Path | None]:
        """What to learn from: what was dropped, else the subject that was chosen."""
        if files:
            dropped = checks.pictures(checks.listed(files))
            self._visitors.own(session, dropped)
            return dropped, None
        if subject is None:
            raise ConfigError("no pictures were given. Drop a few, or choose a subject.")
        chosen = self._subjects[checks.known("subject", subject, self._subjects)]
        return list(chosen.pictures), chosen.masks

    def _named(self, subject: object, files: object) -> str:
        return "photos" if files or subject is None else f"examples/subjects/{subject}"

    def _shown(self, subject: str | None, files: list[str] | None) -> str:
        """The pictures to learn from."""
        try:
            pictures, _ = self._pictures("", subject, files)
        except embedops.EmbedopsError as error:
            return marks.said(str(error), "bad")
        title = "Your pictures" if files else str(subject)
        tiles = [
            Tile([_thumbnail(path)], f"{title}, picture {number}")
            for number, path in enumerate(pictures, 1)
        ]
        return (
            f'<div class="eo-small">{marks.shelves([Shelf(title, tiles, "to learn from")])}</div>'
        )

    def _build_fine_settings(self, chosen: Any, first: str) -> None:
        for name in self._methods:
            with gr.Accordion(
                f"Finer settings of {name}", open=False, visible=name == first
            ) as part:
                self._fine[name] = Controls(
                    method_class(name).Config,
                    leave=_ELSEWHERE,
                    prefix=f"learn-{name}",
                    recommended=self._studio.recommended(name),
                )

            def shown(method_name: str, name: str = name) -> Any:
                return gr.Accordion(visible=name == method_name)

            chosen.change(
                shown, chosen, part, api_visibility="private", show_progress="hidden", queue=False
            )

    def _build_trying(self, concept: Any) -> tuple[Any, Any, Any]:
        """The prompts, the parts to keep, and the status line."""
        gr.HTML('<h3 class="eo-heading">Try it in new prompts</h3>')
        prompt = forms.prompt_box(
            "try",
            "a <toy> on a beach\na <toy> in a meadow",
            "Up to four, one a line.",
            "Prompts that name it",
        )
        parts = gr.Dropdown(
            [],
            value=None,
            multiselect=True,
            label="Also keep from a picture that it was learnt from",
            visible=False,
            elem_id="try-parts",
        )
        act = forms.actions("try", "Draw with the concept", "Learn something first.")
        noise = forms.noise("try", self._studio, 3, 6, self._studio.learned_guidance)
        pictures = gr.HTML(elem_id="try-pictures")
        code = forms.code("try", "The new prompts in code")
        self._trying.connect(
            [act.go.click],
            self.try_it,
            [concept, prompt, parts, *noise.components],
            act,
            [pictures, *code.components],
        )
        return prompt, parts, act.status

    def _tried(self, *values: Any) -> Work:
        concept, prompt, parts, *noise = values
        if not isinstance(concept, Concept):
            raise ConfigError("nothing has been learnt yet. Press Learn first.")
        texts = checks.prompts(prompt or "")
        if not any(concept.token.lower() in text.lower() for text in texts):
            raise ConfigError(f"no prompt names {concept.token}. Write it where it should be.")
        kept = [checks.known("part", part, concept.parts) for part in checks.listed(parts)]
        texts = [_with_parts(text, concept.token, kept) for text in texts]
        call = forms.call(self._studio, texts, 6, *noise)
        shown = Call(
            call.model, texts, call.seed, call.each, call.settings, ["learnt/concept.safetensors"]
        )
        code = snippets.drawing(shown, []), snippets.commands(shown, [])

        def work(job: Job[Outputs]) -> Iterator[Outputs]:
            yield showing.gallery(call, [showing.Batch(concept.token)]), *code
            job.begin("drawing", call.steps)
            drawn = self._studio.draw(job, call, (), [concept])
            batch = showing.batch(self._studio, concept.token, drawn)
            yield showing.gallery(call, [batch]), *_none(2)

        return work


def _none(count: int) -> Outputs:
    return (gr.skip(),) * count


def _or_end(work: Any) -> None:
    """Do some of the work; a job that was stopped ends the learning, and keeps the best."""
    try:
        work()
    except Stopped:
        raise StopLearning from None


def _renamed(token: str, prompts: str) -> str:
    """`prompts` with the concept's new name."""
    return re.sub(r"<[^<>\s]+>", lambda _: token.strip(), prompts) if token.strip() else prompts


def _with_parts(text: str, token: str, parts: Sequence[str]) -> str:
    """`text` with the parts right after the token, where it names it first."""
    end = text.lower().find(token.lower()) + len(token)
    return " ".join([text[:end], *parts]) + text[end:] if token.lower() in text.lower() else text


def _ready(concept: Concept, path: Path) -> Outputs:
    parts: Sequence[str] = list(concept.parts)
    return (
        concept,
        gr.DownloadButton(value=str(path), interactive=True),
        gr.Dropdown(choices=list(parts), visible=bool(parts)),
        marks.said(f"{concept.token} is ready."),
    )


def _thumbnail(path: Path) -> Image.Image:
    with Image.open(path) as image:
        small = image.convert("RGB")
        small.thumbnail((128, 128))
        return small
