"""`embedops app`."""

from __future__ import annotations

import importlib.util
import os
from typing import Annotated

import typer

from embedops.cli import options
from embedops.cli.loading import importing, open_pipeline
from embedops.cli.output import note
from embedops.errors import EmbedopsError

EXAMPLES = """
Examples:

    embedops app
    embedops app --port 8000 --browser
    embedops app --model stable-diffusion-v1-5/stable-diffusion-v1-5
"""


def show_page(
    model: options.Model = "emoji",
    device: options.Device = None,
    dtype: options.DtypeOption = None,
    host: Annotated[
        str, typer.Option("--host", help="The address to listen at; 0.0.0.0 for other machines.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(
            "--port", min=0, max=65535, help="The first free one from 7860.", show_default=False
        ),
    ] = None,
    share: Annotated[
        bool, typer.Option("--share", help="Also open a public address, through Gradio's servers.")
    ] = False,
    browser: Annotated[bool, typer.Option(help="Whether to open it in a browser.")] = False,
) -> None:
    """Open the page on which the methods can be played with. Ctrl-C ends it."""
    lacking = [name for name in ("gradio", "plotly") if importlib.util.find_spec(name) is None]
    if lacking:
        raise EmbedopsError(
            f"the page needs {' and '.join(lacking)}, which are not installed: "
            f'pip install "embedops[app]", or in this checkout pip install -e ".[app]".'
        )
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    pipe = open_pipeline(model, device, dtype)
    with importing():
        from embedops.app.serving import serve

    serve(model, pipe, host=host, port=port, share=share, browser=browser, tell=note)
