"""`embedops pipelines`."""

from __future__ import annotations

from importlib.metadata import EntryPoint

from embedops.cli.options import Json
from embedops.cli.output import results, write_json
from embedops.extension import unique_entry_points
from embedops.families import ENTRY_POINTS as FAMILIES
from embedops.families import adapters

EXAMPLES = """
Examples:

    embedops pipelines
    embedops pipelines --json
"""


def list_pipelines(as_json: Json = False) -> None:
    """List the families of pipelines that plugins can be attached to, and the installed models."""
    from embedops.cli.loading import quiet_libraries
    from embedops.models import ENTRY_POINTS as MODELS

    quiet_libraries()
    points = unique_entry_points(FAMILIES)
    families = [
        {
            "family": name,
            "pipelines": list(cls.pipelines),
            "denoisers": list(cls.denoisers),
            **_source(points[name]),
        }
        for name, cls in adapters().items()
    ]
    models = [
        {"model": name, **_source(point)}
        for name, point in sorted(unique_entry_points(MODELS).items())
    ]
    if as_json:
        write_json({"families": families, "models": models})
        return
    from rich.table import Table

    table = Table("family", "pipelines", "version", box=None, padding=(0, 2, 1, 0))
    for entry in families:
        table.add_row(
            f"[b]{entry['family']}[/b]",
            "\n".join(entry["pipelines"]),
            f"{entry['distribution']} {entry['version']}",
        )
    out = results()
    out.print(table)
    out.print("Models by name: " + (", ".join(str(m["model"]) for m in models) or "none"))


def _source(point: EntryPoint) -> dict[str, str]:
    if point.dist is None:
        return {"distribution": "unknown", "version": "unknown"}
    return {"distribution": point.dist.name, "version": point.dist.version}
