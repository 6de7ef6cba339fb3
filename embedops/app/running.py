"""How a tab runs work: checks first, then progress, results, and a last word."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
import torch

from embedops.app import marks
from embedops.app.forms import Actions
from embedops.app.jobs import Job, Progress, Stopped
from embedops.app.studio import Studio
from embedops.app.visitors import Visitors
from embedops.errors import EmbedopsError

Outputs = tuple[Any, ...]
Work = Callable[[Job[Outputs]], Iterator[Outputs]]
QUEUE = "model"
"""One long job at a time: the others see their place in Gradio's queue."""


@dataclass(frozen=True, eq=False)
class Runner:
    """Runs one tab's work.

    Attributes:
        name: the tab's; a visitor has one job of each name.
        studio: the model.
        visitors: everybody's jobs.
    """

    name: str
    studio: Studio
    visitors: Visitors

    def run(
        self, request: gr.Request, count: int, prepare: Callable[[], Work]
    ) -> Iterator[Outputs]:
        """Updates for the status line, the Stop button and `count` outputs.

        Args:
            request: whose work it is.
            count: of the outputs.
            prepare: checks the input and gives the work; what it raises is told.
        """
        nothing = (gr.skip(),) * count
        session = str(request.session_hash or "direct")
        began = time.perf_counter()
        try:
            job = self.visitors.start(session, self.name, self.studio.turns, prepare())
            yield marks.busy(Progress()), gr.Button(interactive=True), *nothing
            for told in job.results():
                if isinstance(told, Progress):
                    yield marks.busy(told), gr.skip(), *nothing
                else:
                    yield marks.busy(job.progress), gr.skip(), *told
        except Stopped:
            yield (
                marks.said("Stopped. What was ready is kept."),
                gr.Button(interactive=False),
                *nothing,
            )
        except EmbedopsError as error:
            yield marks.said(str(error), "bad"), gr.Button(interactive=False), *nothing
        except torch.OutOfMemoryError:
            text = "The model ran out of memory. Ask for fewer pictures at a time."
            yield marks.said(text, "bad"), gr.Button(interactive=False), *nothing
        else:
            seconds = time.perf_counter() - began
            done = marks.said(f"Done in {seconds:.1f} s.", "good")
            yield done, gr.Button(interactive=False), *nothing

    def stop(self, request: gr.Request) -> Outputs:
        """What the Stop button does."""
        self.visitors.stop(str(request.session_hash or "direct"), self.name)
        return marks.said("Stopped. What was ready is kept."), gr.Button(interactive=False)

    def connect(
        self,
        triggers: Sequence[Any],
        function: Callable[..., Iterator[Outputs]],
        inputs: Sequence[Any],
        act: Actions,
        outputs: Sequence[Any],
        *,
        queue: str = QUEUE,
        stopped: Callable[..., Outputs] | None = None,
    ) -> None:
        """Wire a tab's work to what starts it, and the Stop button to what ends it.

        Args:
            triggers: what starts it.
            function: the work, a generator.
            inputs: of the function.
            act: the buttons and the status line.
            outputs: what the function updates besides the status line and the Stop button.
            queue: jobs of one queue wait for one another.
            stopped: what Stop does where that is more than to stop: it updates everything.
        """
        event = gr.on(
            triggers,
            function,
            list(inputs),
            [act.status, act.stop, *outputs],
            api_name=self.name,
            show_progress="minimal",
            show_progress_on=act.status,
            concurrency_id=queue,
            concurrency_limit=1,
            trigger_mode="always_last",
        )
        gr.on(
            triggers,
            lambda: gr.Button(interactive=True),  # so that one who waits can leave the queue
            None,
            act.stop,
            queue=False,
            show_progress="hidden",
            api_visibility="private",
        )
        act.stop.click(
            stopped or self.stop,
            None,
            [act.status, act.stop, *(outputs if stopped else ())],
            cancels=[event],
            queue=False,
            api_visibility="private",
        )
