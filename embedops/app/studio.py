"""The model that the page shows, and what can be asked of it."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

import embedops
from embedops.app.jobs import Job
from embedops.app.snippets import Call
from embedops.app.turns import Turns
from embedops.concepts import Concept
from embedops.drawing import (
    FRAMES,
    Drawn,
    call_settings,
    draw,
    guidance_of,
    makes_video,
    steps_of,
    suitable_settings,
)
from embedops.encoders import Encoder
from embedops.errors import UnsupportedPipelineError
from embedops.evaluators import Evaluator, evaluator_for
from embedops.extension import AnyPlugin
from embedops.families import adapter_for
from embedops.learning.method import recommended
from embedops.models import is_installed
from embedops.presets import presets
from embedops.reports import Verdict

_KEPT = 8
"""Calls without plugins whose pictures are kept."""


class Studio:
    """One model for all visitors.

    Args:
        model: its name, as `embedops.load` takes it.
        open_pipe: gives the pipeline; called once, when it is first needed.
        turns: those of another model on the same machine; its own unless given.
    """

    def __init__(
        self, model: str, open_pipe: Callable[[], Any], turns: Turns | None = None
    ) -> None:
        self.model = model
        self.turns = turns or Turns()
        self._open_pipe = open_pipe
        self._plain: dict[object, Drawn] = {}

    @functools.cached_property
    def pipe(self) -> Any:
        """The pipeline; to be used in a turn."""
        return self._open_pipe()

    @functools.cached_property
    def moves(self) -> bool:
        """Whether the model draws moving pictures."""
        return makes_video(self.pipe)

    @functools.cached_property
    def settings(self) -> dict[str, Any]:
        """Keyword arguments of the pipeline's call that suit the model."""
        return call_settings(self.pipe, **suitable_settings(self.pipe, self.model))

    @functools.cached_property
    def steps(self) -> int:
        """How many steps a call takes with these settings."""
        return steps_of(self.pipe, self.settings)

    @functools.cached_property
    def guidance(self) -> float | None:
        """The guidance scale of such a call; None where the pipeline takes none."""
        return guidance_of(self.pipe, self.settings)

    @functools.cached_property
    def learned_guidance(self) -> float | None:
        """The same where a learned concept is named."""
        suitable = suitable_settings(self.pipe, self.model, learned=True)
        return guidance_of(self.pipe, call_settings(self.pipe, **suitable))

    @functools.cached_property
    def shipped_presets(self) -> tuple[str, ...]:
        """Concepts that come with the model's text encoder."""
        return tuple(adapter_for(self.pipe).encoder().presets)

    @functools.cached_property
    def presets(self) -> tuple[str, ...]:
        """All concepts that have a name, the model's own first."""
        shipped = self.shipped_presets
        return (*shipped, *(name for name in presets() if name not in shipped))

    @functools.cached_property
    def learns(self) -> bool:
        """Whether concepts can be learnt with the model."""
        try:
            adapter_for(self.pipe).denoising()
        except UnsupportedPipelineError:
            return False
        return not self.moves

    def recommended(self, method: str) -> dict[str, object]:
        """Settings of a learning method that suit the model."""
        return recommended(adapter_for(self.pipe), method)

    @functools.cached_property
    def evaluator(self) -> Evaluator | None:
        """What reads the model's pictures, where it comes with something that does."""
        return evaluator_for(self.model)

    def seat(self) -> Any:
        """A pipeline for one job: shared weights, everything that a call changes its own."""
        # `from_pipe` would do, if it did not cast the shared weights to float32.
        seat = copy.copy(self.pipe)
        for name, part in self.pipe.components.items():
            if isinstance(part, PreTrainedTokenizerBase) or name == "scheduler":
                setattr(seat, name, copy.deepcopy(part))
        seat.set_progress_bar_config(disable=True)
        return seat

    def encoder(self) -> Encoder:
        """The text encoders; to be used in a turn."""
        return adapter_for(self.pipe).encoder()

    def screen(self, prompts: Sequence[str], plugins: Sequence[AnyPlugin]) -> list[Verdict]:
        """What the plugins make of the prompts; waits for a turn."""
        with self.turns.hold():
            return self.screen_in_turn(prompts, plugins)

    def screen_in_turn(self, prompts: Sequence[str], plugins: Sequence[AnyPlugin]) -> list[Verdict]:
        """The same, for a job that holds the turn."""
        return embedops.screen(self.pipe, prompts, list(plugins))

    def call(self, *, steps: int, guidance: float | None = None) -> dict[str, Any]:
        """Keyword arguments of the pipeline's call: what suits the model, but for these.

        Args:
            steps: denoising steps.
            guidance: the scale, where it is another than the model's; left out where the
                pipeline takes none.
        """
        settings = {**self.settings, "num_inference_steps": steps}
        if guidance is not None and self.guidance not in (None, guidance):
            settings["guidance_scale"] = guidance
        return settings

    def draw(
        self,
        job: Job[Any],
        call: Call,
        plugins: Sequence[AnyPlugin] = (),
        concepts: Sequence[Concept] = (),
        *,
        counted: bool = True,
    ) -> Drawn:
        """Draw in the job's turn, giving way after each step, which counts as progress or not.

        Raises:
            Stopped: the job was told to stop; the pipeline is as it was.
        """
        return draw(
            self.seat(),
            call.prompts,
            call.seeds,
            call.settings,
            plugins=plugins,
            concepts=concepts,
            on_step=job.step if counted else job.pause,
        )

    def draw_plainly(self, job: Job[Any], call: Call) -> Drawn:
        """Draw without plugins; the last few results are kept, because a visitor who moves a
        slider compares with the same pictures again and again.

        Raises:
            Stopped: the job was told to stop.
        """
        key = (tuple(call.prompts), tuple(call.seeds), tuple(sorted(call.settings.items())))
        if key not in self._plain:
            self._plain[key] = self.draw(job, call)
            for old in list(self._plain)[:-_KEPT]:
                self._plain.pop(old, None)
        return self._plain[key]

    def seen(self, drawn: Drawn) -> list[tuple[str, ...]] | None:
        """What the evaluator sees in each picture; None where there is none."""
        if self.evaluator is None:
            return None
        return [reading.seen() for reading in self.evaluator.read(drawn.clips or drawn.images)]


def moving_companion(studio: Studio) -> Studio | None:
    """The installed model that draws moving pictures of the same kind: `NAME-video` beside `NAME`;
    None where there is none."""
    name = f"{studio.model}-video"
    if not is_installed(name):
        return None
    place = {"device": studio.pipe.device, "dtype": studio.pipe.dtype}
    companion = Studio(name, lambda: embedops.load(name, **place), studio.turns)
    # All that its tab is laid out from, so that the page need not wait for its weights.
    companion.moves = True
    companion.settings = {**studio.settings, "num_frames": FRAMES}
    companion.steps, companion.guidance = studio.steps, studio.guidance
    companion.shipped_presets = studio.shipped_presets
    return companion
