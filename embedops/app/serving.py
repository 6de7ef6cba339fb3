"""The page as a server."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from typing import Any

from embedops.app.page import launch_settings, page
from embedops.app.studio import Studio, moving_companion
from embedops.app.visitors import Visitors
from embedops.errors import ConfigError

_WAITING = 32
"""Jobs that may wait at a time; more are told to come back later."""


def serve(
    model: str,
    pipe: Any,
    *,
    host: str,
    port: int | None,
    share: bool,
    browser: bool,
    tell: Callable[[str], None],
) -> None:
    """Serve the page until Ctrl-C.

    Args:
        model: the pipeline's name.
        pipe: the pipeline.
        host: the address to listen at.
        port: the first free one from 7860 unless given.
        share: whether to ask Gradio for a public address.
        browser: whether to open a browser.
        tell: takes sentences for the one who started it.

    Raises:
        ConfigError: the port is taken.
    """
    visitors = Visitors()
    with tempfile.TemporaryDirectory(prefix="embedops-uploads-") as uploads:
        os.environ["GRADIO_TEMP_DIR"] = uploads  # so that nothing is left behind
        studio = Studio(model, lambda: pipe)
        blocks = page(studio, visitors, moving_companion(studio)).queue(max_size=_WAITING)
        try:
            _, address, public = blocks.launch(
                server_name=host,
                server_port=port,
                share=share,
                inbrowser=browser,
                quiet=True,
                prevent_thread_lock=True,
                **launch_settings(),
            )
            tell(f"the page is at {public or address}  (Ctrl-C ends it)")
            blocks.block_thread()
        except OSError as error:
            raise ConfigError(f"the page cannot listen at {host}:{port}: {error}") from error
        finally:
            blocks.close()
            visitors.close()
