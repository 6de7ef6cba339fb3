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


def session_of(request: gr.Request) -> str:
    """Who asks; one and the same for all who call without a page."""
    return str(request.session_hash or "direct")


@dataclass(frozen=True, eq=False)
class Runner:
    """Runs one tab's work.

    Attributes:
        name: the tab's; a visitor has one job of each name.
        studio: the model.
        visitors: everybody's jobs.
        stopped_says: the last word of a job that was stopped.
    """

    name: str
    studio: Studio
    visitors: Visitors
    stopped_says: str = "Stopped. What was ready is kept."

    def run(
        self, request: gr.Request, count: int, prepare: Callable[[], Work]
    ) -> Iterator[Outputs]:
        """Updates for the status line and `count` outputs.

        Args:
            request: whose work it is.
            count: of the outputs.
            prepare: checks the input and gives the work; what it raises is told.
        """
        nothing = (gr.skip(),) * count
        session = session_of(request)
        began = time.perf_counter()
        try:
            job = self.visitors.start(session, self.name, self.studio.turns, prepare())
            yield marks.busy(Progress()), *nothing
            for told in job.results():
                if isinstance(told, Progress):
                    yield marks.busy(told), *nothing
                else:
                    yield marks.busy(job.progress), *told
        except Stopped:
            yield marks.said(self.stopped_says), *nothing
        except EmbedopsError as error:
            yield marks.said(str(error), "bad"), *nothing
        except torch.OutOfMemoryError:
            text = "The model ran out of memory. Ask for fewer pictures at a time."
            yield marks.said(text, "bad"), *nothing
        else:
            if job.stopped:
                yield marks.said(self.stopped_says), *nothing
                return
            seconds = time.perf_counter() - began
            yield marks.said(f"Done in {seconds:.1f} s.", "good"), *nothing

    def stop(self, request: gr.Request) -> Outputs:
        """What the Stop button does."""
        self.visitors.stop(session_of(request), self.name)
        return (marks.said(self.stopped_says),)

    def connect(
        self,
        triggers: Sequence[Any],
        function: Callable[..., Iterator[Outputs]],
        inputs: Sequence[Any],
        act: Actions,
        outputs: Sequence[Any],
        *,
        releases: Sequence[Any] = (),
        queue: str = QUEUE,
        stopped: Callable[..., Outputs] | None = None,
    ) -> None:
        """Wire a tab's work to what starts it, and the Stop button to what ends it.

        Args:
            triggers: what starts it.
            function: the work, a generator.
            inputs: of the function.
            act: the buttons and the status line.
            outputs: what the function updates besides the status line.
            releases: of sliders, which start it too where anything is not as it was asked for
                last: a slider is also released when the focus leaves it.
            queue: jobs of one queue wait for one another.
            stopped: what Stop does where that is more than to stop: it updates everything.
        """
        quiet: dict[str, Any] = {
            "queue": False,
            "show_progress": "hidden",
            "api_visibility": "private",
        }
        # What is asked is kept where a release may ask for the same again.
        at_first = tuple(component.value for component in inputs)

        def ask(request: gr.Request, *values: Any) -> Iterator[Outputs]:
            self.visitors.asks(session_of(request), self.name, values)
            yield from function(request, *values)

        def ask_anew(request: gr.Request, *values: Any) -> Iterator[Outputs]:
            before = self.visitors.asked(session_of(request), self.name) or at_first
            if _told(values) == _told(before):
                yield (gr.skip(),) * (1 + len(outputs))
            else:
                yield from ask(request, *values)

        def started_by(events: Sequence[Any], asking: Callable[..., Any], api: Any) -> Any:
            # Before the work, which the page waits for: who waits for a turn can leave the queue.
            gr.on(events, lambda: gr.Button(interactive=True), None, act.stop, **quiet)
            event = gr.on(
                events,
                asking,
                list(inputs),
                [act.status, *outputs],
                show_progress="minimal",
                show_progress_on=act.status,
                concurrency_id=queue,
                concurrency_limit=1,
                trigger_mode="always_last",
                **api,
            )
            event.then(lambda: gr.Button(interactive=False), None, act.stop, **quiet)
            return event

        public = {"api_name": self.name, "api_description": function.__doc__}
        works = [started_by(triggers, ask if releases else function, public)]
        if releases:
            works.append(started_by(releases, ask_anew, {"api_visibility": "private"}))
        act.stop.click(
            stopped or self.stop,
            None,
            [act.status, *(outputs if stopped else ())],
            cancels=works,
            **quiet,
        ).then(lambda: gr.Button(interactive=False), None, act.stop, **quiet)


def _told(values: Sequence[Any]) -> list[Any]:
    """As the browser tells them: an empty text box has no value at first."""
    return ["" if value is None else value for value in values]
