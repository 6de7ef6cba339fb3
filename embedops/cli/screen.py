"""`embedops screen`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from embedops.cli import options
from embedops.cli.loading import open_pipeline
from embedops.cli.output import results, write_json
from embedops.cli.stack import build_stack
from embedops.errors import ConfigError

if TYPE_CHECKING:
    from embedops.edits import Trace
    from embedops.reports import Verdict

EXAMPLES = """
Examples:

    embedops screen "a pistol on a table" --concepts weapons
    embedops screen "a pistol" "a pear" -p redact -c weapons --json
    embedops screen --file prompts.txt -c nudity,violence --fail-on-flag
    echo "a knife" | embedops screen --file - --phrases "a blade"
"""


def screen(
    prompts: Annotated[
        list[str] | None, typer.Argument(help="Prompts to look at.", show_default=False)
    ] = None,
    file: Annotated[
        typer.FileText | None,
        typer.Option(
            "--file",
            "-f",
            help="More prompts, one a line; - reads standard input.",
            show_default=False,
        ),
    ] = None,
    plugin: options.Plugins = None,
    concepts: options.Concepts = None,
    phrases: options.Phrases = None,
    settings: options.Settings = None,
    steps: Annotated[
        int, typer.Option("--steps", min=1, help="Tell the steps of a schedule of this length.")
    ] = 50,
    fail_on_flag: Annotated[
        bool, typer.Option("--fail-on-flag", help="Exit with status 1 if a prompt is flagged.")
    ] = False,
    model: options.Model = "emoji",
    device: options.Device = None,
    dtype: options.DtypeOption = None,
    as_json: options.Json = False,
) -> None:
    """Tell what a plugin makes of prompts, token by token. Draws nothing.

    The plugin is [b]safree[/b] unless others are given.
    """
    given = list(prompts or [])
    if file is not None:
        given.extend(line.strip() for line in file if line.strip())
    if not given:
        raise ConfigError("no prompts: give them as arguments, or with --file PATH (- for stdin).")
    if not (concepts or phrases or settings or plugin):
        raise ConfigError(
            "nothing to look for: name a preset, such as --concepts weapons, or give --phrases."
        )
    stack = build_stack(
        plugin or ["safree"],
        concepts=concepts or [],
        phrases=phrases or [],
        settings=settings or [],
    )
    pipe = open_pipeline(model, device, dtype)

    import embedops

    verdicts = embedops.screen(pipe, given, stack)
    if as_json:
        write_json([_record(verdict, steps) for verdict in verdicts])
    else:
        for verdict in verdicts:
            _tell(verdict, steps)
    if fail_on_flag and any(verdict.flagged is not False for verdict in verdicts):
        raise typer.Exit(1)


def _record(verdict: Verdict, total: int) -> dict[str, Any]:
    return {**verdict.to_json(), "steps": _steps(verdict, total), "total_steps": total}


def _steps(verdict: Verdict, total: int) -> list[int]:
    return sorted({step for window in verdict.windows for step in window.steps(total)})


def _tell(verdict: Verdict, total: int) -> None:
    from rich.markup import escape

    out = results()
    word = "[bold red]flagged[/]" if verdict.flagged else "[green]not flagged[/]"
    steps = _spans(_steps(verdict, total))
    when = f"edited in {steps} of {total} steps" if steps else "left as it is"
    name = escape(verdict.prompt) or "(an empty prompt)"
    out.print(f"[b]{name}[/b]: {word}, {when}", highlight=False)
    for trace in verdict.traces:
        _tell_trace(trace)
    out.print()


def _tell_trace(trace: Trace) -> None:
    from rich.markup import escape
    from rich.table import Table

    out = results()
    table = Table(title=trace.plugin, title_justify="left", box=None, padding=(0, 2, 0, 2))
    table.add_column("token")
    table.add_column("score", justify="right")
    table.add_column("threshold", justify="right")
    table.add_column("triggers")
    several = len({token.stream for token in trace.tokens}) > 1
    if several:
        table.add_column("encoder")
    for token in trace.tokens:
        row = [
            escape(token.text),
            f"{token.score:.4f}",
            f"{token.threshold:.4f}",
            "yes" if token.triggered else "",
            *([token.stream] if several else []),
        ]
        table.add_row(*row, style="bold red" if token.triggered else None)
    if trace.tokens:
        out.print(table)
    else:
        out.print(f"  {trace.plugin}: no tokens examined", highlight=False)
    if trace.values:
        figures = ", ".join(f"{key} {value:.4g}" for key, value in trace.values.items())
        out.print(f"  {figures}", highlight=False)
    if trace.text is not None:
        out.print(f"  reads instead: {escape(trace.text)}", highlight=False)
    for line in trace.notes:
        out.print(f"  {escape(line)}", highlight=False)


def _spans(steps: Sequence[int]) -> str:
    """Steps as people write them: `0–4, 9`."""
    spans: list[list[int]] = []
    for step in steps:
        if spans and step == spans[-1][-1] + 1:
            spans[-1].append(step)
        else:
            spans.append([step])
    return ", ".join(f"{s[0]}–{s[-1]}" if len(s) > 1 else str(s[0]) for s in spans)
