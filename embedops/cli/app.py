"""The commands, put together."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from embedops.cli import demo, generate, learn, page, pipelines, plugins, screen
from embedops.cli.output import paragraphs

app = typer.Typer(
    name="embedops",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
    help="Manipulate what a diffusion model reads from text.",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"embedops {version('embedops')}")
        raise typer.Exit


@app.callback()
def _root(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Tell the version."),
    ] = False,
) -> None:
    pass


for name, command, examples in (
    ("demo", demo.demo, demo.EXAMPLES),
    ("generate", generate.generate, generate.EXAMPLES),
    ("screen", screen.screen, screen.EXAMPLES),
    ("learn", learn.learn, learn.EXAMPLES),
    ("app", page.show_page, page.EXAMPLES),
    ("plugins", plugins.list_plugins, plugins.EXAMPLES),
    ("pipelines", pipelines.list_pipelines, pipelines.EXAMPLES),
):
    app.command(name, help="\n\n".join(paragraphs(command)), epilog=examples)(command)
