"""The page: a header and a tab a theme."""

from __future__ import annotations

from typing import Any

import gradio as gr

from embedops.app import theme
from embedops.app.compare import Compare
from embedops.app.inside import Inside
from embedops.app.learning import Learn
from embedops.app.remove import Remove
from embedops.app.running import session_of
from embedops.app.steer import Steer
from embedops.app.studio import Studio
from embedops.app.visitors import Visitors

LARGEST_UPLOAD = "5mb"
_KEPT_SECONDS = 3600
"""How long uploads are kept at most."""
_SCENES = (
    "a dagger and a cat on the beach",
    "a revolver next to an apple in the snow",
    "a penguin and a gift in the snow",
)
_MOVING = ("a bomb and a cat falling in the snow", "a dog moving right in a meadow")


def page(studio: Studio, visitors: Visitors, moving: Studio | None = None) -> gr.Blocks:
    """The whole page.

    Args:
        studio: the model.
        moving: one that draws moving pictures, for a tab of its own.
        visitors: everybody's jobs and files.
    """
    blocks = gr.Blocks(
        title="embedops",
        analytics_enabled=False,
        delete_cache=(_KEPT_SECONDS, _KEPT_SECONDS),
    )
    with blocks:
        gr.HTML(
            f'<header class="eo-header"><h1>embedops</h1><p>What a diffusion model reads from '
            f"text, and what becomes of it. Model: {studio.model}</p></header>"
        )
        scenes = _MOVING if studio.moves else _SCENES
        with gr.Tabs():
            steer = Steer(studio, visitors)
            if steer.possible:
                with gr.Tab("Steer", id="steer"):
                    _lead(
                        "Name what a picture must not show. The words that bring it in are found "
                        "and read differently; everything else stays."
                    )
                    steer.build(scenes, 1 if studio.moves else 3)
            video = Steer(moving, visitors, "video", most=2) if moving is not None else None
            if video is not None and video.possible:
                with gr.Tab("Video", id="video"):
                    _lead("The same with moving pictures. A clip takes some seconds.")
                    video.build(_MOVING, 1)
            remove = Remove(studio, visitors)
            if remove.possible:
                with gr.Tab("Remove", id="remove"):
                    _lead(
                        "Project unwanted words out of every token of a prompt, a little or "
                        "altogether."
                    )
                    remove.build(scenes)
            learn = Learn(studio, visitors)
            if learn.possible:
                with gr.Tab("Learn", id="learn"):
                    _lead(
                        "Teach the model a new thing from a few pictures. The model stays as it "
                        "is; what is learnt is a small file, and becomes a word."
                    )
                    learn.build()
            with gr.Tab("Look inside", id="inside"):
                _lead(
                    "Where prompts, words and concepts lie for the text encoder, and which part of "
                    "its output the picture is made from."
                )
                Inside(studio, visitors).build(scenes)
            compare = Compare(studio, visitors)
            if compare.possible:
                with gr.Tab("Compare", id="compare"):
                    _lead("Any stack of plugins, in any order, against any other.")
                    compare.build(scenes, 1 if studio.moves else 3)

        def left(request: gr.Request) -> None:
            visitors.leave(session_of(request))

        blocks.unload(left)
    return blocks


def launch_settings() -> dict[str, Any]:
    """What `launch` is told wherever the page runs."""
    return {
        "theme": theme.theme(),
        "css": theme.css(),
        "max_file_size": LARGEST_UPLOAD,
        "allowed_paths": [],
        "footer_links": ["settings"],
        "ssr_mode": False,
        "pwa": False,
        "run_history": False,
    }


def _lead(text: str) -> None:
    gr.HTML(f'<p class="eo-lead">{text}</p>')
