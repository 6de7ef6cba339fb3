"""`embedops plugins`."""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import Annotated

import typer

from embedops.cli.options import Json
from embedops.cli.output import paragraphs, results, write_json
from embedops.extension import plugin_class, plugins

EXAMPLES = """
Examples:

    embedops plugins
    embedops plugins safree
    embedops plugins --json
"""


def list_plugins(
    name: Annotated[
        str | None, typer.Argument(help="Tell the settings of this plugin.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """List the installed plugins, or the settings of one."""
    if name is not None:
        _describe(name, as_json)
        return
    found = plugins()
    if as_json:
        write_json([dataclasses.asdict(info) for info in found])
        return
    from rich.table import Table

    table = Table("plugin", "what it does", "settings", "version", box=None, padding=(0, 2, 1, 0))
    for info in found:
        source = f"{info.distribution} {info.version}"
        table.add_row(f"[b]{info.name}[/b]", info.summary, ", ".join(info.options), source)
    results().print(table)


def _describe(name: str, as_json: bool) -> None:
    cls = plugin_class(name)
    fields = cls.Config.model_fields
    documented = documented_attributes(cls.Config)
    about = {key: field.description or documented.get(key, "") for key, field in fields.items()}
    if as_json:
        schema = cls.Config.model_json_schema()
        for key, text in about.items():
            schema["properties"][key]["description"] = text
        write_json(schema)
        return
    from rich.markup import escape
    from rich.table import Table

    table = Table("setting", "default", "what it does", box=None, padding=(0, 2, 1, 0))
    for key, field in fields.items():
        default = "(required)" if field.is_required() else repr(field.get_default())
        table.add_row(f"[b]{key}[/b]", escape(default), escape(about[key]))
    out = results()
    for paragraph in paragraphs(cls):
        out.print(escape(paragraph), highlight=False, end="\n\n")
    out.print(table)


def documented_attributes(cls: type) -> dict[str, str]:
    """What the `Attributes:` section of a class's docstring says of each, each on one line."""
    _, found, section = (inspect.getdoc(cls) or "").partition("Attributes:\n")
    if not found:
        return {}
    said = re.findall(r"^    (\w+): (.*(?:\n     .*)*)", section, flags=re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in said}
