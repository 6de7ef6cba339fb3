"""A page with a tiny model for what the tabs do, and one with the embedded model in a server."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
import pytest
import tiny

import embedops
from embedops.app.page import launch_settings, page
from embedops.app.studio import Studio, moving_companion
from embedops.app.visitors import Visitors


@dataclasses.dataclass
class Visit:
    """What Gradio hands to a function that asks for the request."""

    session_hash: str = "visitor"


@pytest.fixture
def visit() -> Any:
    return Visit()


@pytest.fixture
def visitors() -> Iterator[Visitors]:
    made = Visitors()
    yield made
    made.close()


@pytest.fixture
def studio() -> Studio:
    """A tiny model that draws noise."""
    studio = Studio("tiny", tiny.stable_diffusion)
    studio.settings |= {"height": 16, "width": 16, "num_inference_steps": 3, "guidance_scale": 3.0}
    studio.steps = 3
    return studio


@pytest.fixture(scope="session")
def emoji() -> Studio:
    return Studio("emoji", lambda: embedops.load("emoji"))


@dataclasses.dataclass
class Server:
    """A page that is served."""

    address: str
    visitors: Visitors
    blocks: gr.Blocks
    studio: Studio


@pytest.fixture(scope="session")
def server(emoji: Studio, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    visitors = Visitors()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        blocks = page(emoji, visitors, moving_companion(emoji)).queue()
        _, address, _ = blocks.launch(
            server_name="127.0.0.1", quiet=True, prevent_thread_lock=True, **launch_settings()
        )
        yield Server(address, visitors, blocks, emoji)
        blocks.close()
        visitors.close()


Built = Callable[[Any], None]


@pytest.fixture
def build() -> Built:
    """Lays a tab out, so that its functions can be called."""

    def run(lay_out: Callable[[], None]) -> None:
        with gr.Blocks():
            lay_out()

    return run
