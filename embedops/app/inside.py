"""The tab in which one looks at what the text encoders make of a prompt."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from shlex import quote
from typing import Any

import gradio as gr
import numpy as np

from embedops.app import checks, forms, geometry, marks, plots
from embedops.app.geometry import Vectors
from embedops.app.jobs import Job
from embedops.app.parts import Only, Part, parts_of
from embedops.app.running import Outputs, Runner, Work
from embedops.app.snippets import Call
from embedops.app.studio import Studio
from embedops.app.visitors import Visitors
from embedops.drawing import Drawn
from embedops.presets import concept_phrases

_NEIGHBOURS = 4
_MOST_PHRASES = 6
"""Phrases of a concept on the map."""
_OWN = "your words"
_SMALL_WORDS = frozenset("a an and at beside by in near next of on or the to under with".split())
"""They say little, and would crowd the map."""


@dataclass(frozen=True, eq=False)
class Wish:
    """What the visitor asks for, checked."""

    prompts: list[str]
    concepts: Mapping[str, tuple[str, ...]]
    call: Call

    @property
    def words(self) -> list[str]:
        """The words of the prompts, each once."""
        found = [word.strip(".,;:!?\"'") for text in self.prompts for word in text.split()]
        leave = {*self.prompts, *_SMALL_WORDS, ""}
        return [word for word in dict.fromkeys(found) if word not in leave]


class Inside:
    """A map of texts, angles between concepts, and what each part contributes.

    Args:
        studio: the model.
        visitors: everybody's jobs.
    """

    def __init__(self, studio: Studio, visitors: Visitors) -> None:
        self._studio = studio
        self._runner = Runner("inside", studio, visitors)

    def build(self, examples: Sequence[str]) -> None:
        """Lay the tab out, and wire it."""
        with gr.Row(elem_classes="eo-split"):
            with gr.Column(scale=4, min_width=300):
                prompt = forms.prompt_box("inside", examples[0])
                other = gr.Textbox(
                    examples[1],
                    label="Another prompt to compare with",
                    info="May be empty.",
                    lines=2,
                    max_length=checks.LONGEST,
                    elem_id="inside-other",
                )
                concepts, phrases = forms.concept_boxes("inside", self._studio, "Concepts")
                shipped = list(self._studio.shipped_presets or self._studio.presets[:3])
                concepts.value = shipped
                act = forms.actions("inside", "Look", "Nothing leaves this machine.")
                forms.examples(examples, prompt)
                noise = forms.noise("inside", self._studio, 1, 1)
            with gr.Column(scale=7, min_width=320):
                told = gr.HTML(
                    marks.empty("What is near to what, for the text encoder."),
                    elem_id="inside-told",
                )
                places = gr.Plot(label="Map of prompts, words and concepts", elem_id="inside-map")
                angles = gr.HTML(elem_id="inside-angles")
                parts = gr.HTML(elem_id="inside-parts")
                code = forms.code("inside")
        self._runner.connect(
            [act.go.click],
            self.look,
            [prompt, other, concepts, phrases, *noise.components],
            act,
            [told, places, angles, parts, *code.components],
        )

    def look(self, request: gr.Request, *values: Any) -> Iterator[Outputs]:
        """The map, the angles, the parts."""
        yield from self._runner.run(request, 6, lambda: self._work(self._wish(*values)))

    def _wish(self, *values: Any) -> Wish:
        prompt, other, concepts, phrases, *noise = values
        texts = [checks.prompt(prompt or "")]
        if (other or "").strip():
            texts.append(checks.prompt(other))
        named = checks.listed(concepts)
        wanted = {**checks.wanted(named, phrases or "")}
        with self._studio.turns.hold():
            shipped = self._studio.encoder().presets
        found = {name: concept_phrases([name], [], shipped) for name in named}
        if "phrases" in wanted:
            found[_OWN] = tuple(wanted["phrases"])
        texts = list(dict.fromkeys(texts))
        return Wish(texts, found, forms.call(self._studio, texts, 1, *noise))

    def _work(self, wish: Wish) -> Work:
        studio = self._studio
        code = _snippets(wish)

        def work(job: Job[Outputs]) -> Iterator[Outputs]:
            encoder = studio.encoder()
            among = geometry.words_to_search(encoder)
            phrases = [phrase for listed in wish.concepts.values() for phrase in listed]
            texts = list(dict.fromkeys([*wish.prompts, *wish.words, *phrases, *among]))
            job.begin("reading the vocabulary", geometry.batches(texts))
            vectors = geometry.sentence_vectors(encoder, texts, job.step)
            stream, own = next(iter(vectors.items()))
            yield (
                _told(stream, own, wish, among),
                plots.places(geometry.flat(own, _kinds(own, wish, among))),
                _angles(list(wish.concepts), geometry.subspace_angles(own, wish.concepts, among)),
                gr.skip(),
                *code,
            )
            parts = parts_of(encoder.encode(wish.prompts[:1]))
            shelves = []
            for prompt in wish.prompts:
                call = Call(
                    studio.model,
                    [prompt] * len(parts),
                    wish.call.seed,
                    1,
                    wish.call.settings,
                    same_seed=True,
                )
                job.begin("drawing from each part alone", call.steps)
                drawn = studio.draw(job, call, [Only(parts)])
                shelves.append(self._shelf(prompt, parts, drawn))
                yield *(gr.skip(),) * 3, _parts(shelves), *(gr.skip(),) * 2

        return work

    def _shelf(self, prompt: str, parts: Sequence[Part], drawn: Drawn) -> marks.Shelf:
        frames = [list(clip) for clip in drawn.clips] or [[image] for image in drawn.images]
        pixels = [np.stack([np.asarray(f, np.float32) for f in clip]) for clip in frames]
        apart = [float(np.abs(one - pixels[0]).mean()) for one in pixels]
        seen = self._studio.seen(drawn)
        tiles = []
        several = len({part.stream for part in parts}) > 3  # two stand for all and for none
        for number, (part, clip) in enumerate(zip(parts, frames, strict=True)):
            share = 100 * apart[number] / max(apart[-1], 1e-6)
            title = part.title(several)
            below = [title, f"difference {share:.0f} %"]
            if seen is not None:
                below.append(f"sees {', '.join(seen[number]) or 'nothing that it knows'}")
            tiles.append(marks.Tile(clip, f"{prompt}, from {title}: {'; '.join(below[1:])}", below))
        return marks.Shelf(prompt, tiles)


def _angles(names: Sequence[str], degrees: Sequence[Sequence[float]]) -> str:
    """A table in which small angles are strongly coloured."""
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in names)
    lines = []
    for name, row in zip(names, degrees, strict=True):
        cells = "".join(
            f'<td class="eo-token" style="--near:{100 - angle / 0.9:.0f}%">{angle:.0f}°</td>'
            if other != name
            else "<td>–</td>"
            for other, angle in zip(names, row, strict=True)
        )
        lines.append(f'<tr><th scope="row">{html.escape(name)}</th>{cells}</tr>')
    return (
        '<h3 class="eo-heading">How far concepts are from one another</h3>'
        f'<table class="eo-table"><caption>smallest principal angle between their subspaces; 90° '
        f'has nothing in common</caption><thead><tr><th scope="col">concept</th>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table>"
    )


def _parts(shelves: Sequence[marks.Shelf]) -> str:
    return (
        '<h3 class="eo-heading">What each part contributes</h3><p class="eo-note">Drawn from that '
        "part alone, with an empty prompt everywhere else, from the same noise. The difference of "
        "its pixels from those of everything is given as a share of the empty prompt's.</p>"
        + marks.shelves(shelves)
    )


def _kinds(vectors: Vectors, wish: Wish, among: Sequence[str]) -> dict[str, list[str]]:
    """What is on the map, each text once."""
    near = [w for text in wish.prompts for w in geometry.nearest(vectors, text, among, _NEIGHBOURS)]
    near += [w for word in wish.words for w in geometry.nearest(vectors, word, among, 1)]
    kinds = {
        "prompts": list(wish.prompts),
        "words of the prompts": wish.words,
        "vocabulary nearby": near,
        **{name: list(texts[:_MOST_PHRASES]) for name, texts in wish.concepts.items()},
    }
    placed: set[str] = set()
    found = {}
    for kind in ("prompts", *wish.concepts, "words of the prompts", "vocabulary nearby"):
        found[kind] = [text for text in dict.fromkeys(kinds[kind]) if text not in placed]
        placed.update(found[kind])
    return {kind: texts for kind, texts in found.items() if texts}


def _told(stream: str, vectors: Vectors, wish: Wish, among: Sequence[str]) -> str:
    lines = []
    for text in wish.prompts:
        near = ", ".join(geometry.nearest(vectors, text, among, _NEIGHBOURS))
        lines.append(f"“{text}” lies near the words: {near}.")
    if len(wish.prompts) == 2:
        first, second = wish.prompts
        alike = geometry.cosine(vectors, first, second, among)
        lines.append(f"The two prompts' cosine about the vocabulary's mean is {alike:.2f}.")
    lines.append(f"As read by {stream}.")
    return "".join(f'<p class="eo-note">{html.escape(line)}</p>' for line in lines)


def _snippets(wish: Wish) -> tuple[str, str]:
    phrases = {name: list(listed) for name, listed in wish.concepts.items()}
    python = "\n".join(
        [
            "import torch",
            "import embedops",
            "from embedops.families import adapter_for",
            "",
            f"pipe = embedops.load({wish.call.model!r})",
            "encoder = adapter_for(pipe).encoder()",
            f"prompts = {wish.prompts!r}",
            f"concepts = {phrases!r}",
            "",
            "common = encoder.pooled(encoder.vocabulary()[:600])",
            "centre = {stream: vectors.mean(0) for stream, vectors in common.items()}",
            "for stream in encoder.encode(prompts).streams:",
            "    print(stream.name, 'reads', stream.tokens[0][:12])",
            "spaces = {",
            "    (name, stream): embedops.Subspace.span(vectors - centre[stream])",
            "    for name, phrases in concepts.items()",
            "    for stream, vectors in encoder.pooled(phrases).items()",
            "}",
            "for (one, stream), space in spaces.items():",
            "    for (other, same), another in spaces.items():",
            "        if stream == same and one < other:",
            "            print(one, other, torch.rad2deg(space.principal_angles(another)))",
            "",
        ]
    )
    listed = " ".join(f"--phrases {quote(p)}" for texts in wish.concepts.values() for p in texts)
    prompts = " ".join(map(quote, wish.prompts))
    model = "" if wish.call.model == "emoji" else f" --model {quote(wish.call.model)}"
    return python, f"embedops screen {prompts} {listed}{model} --json"
