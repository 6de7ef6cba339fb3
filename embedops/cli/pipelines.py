"""`embedops pipelines`."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint
from importlib.resources import files

from embedops.cli.options import Json
from embedops.cli.output import results, write_json
from embedops.extension import unique_entry_points
from embedops.families import ENTRY_POINTS as FAMILIES
from embedops.families import Adapter, adapters

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
            "tested": _tested(cls).get(name, {}),
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

    table = Table("family", "pipelines", "conformance", "version", box=None, padding=(0, 2, 1, 0))
    for entry, (name, adapter) in zip(families, adapters().items(), strict=True):
        tested = _tested(adapter).get(name, {})
        table.add_row(
            f"[b]{name}[/b]",
            "\n".join(adapter.pipelines),
            "\n".join(_passed(tested.get(pipeline, {})) for pipeline in adapter.pipelines),
            f"{entry['distribution']} {entry['version']}",
        )
    out = results()
    out.print(table)
    out.print("Models by name: " + (", ".join(str(m["model"]) for m in models) or "none"))


def _tested(adapter: type[Adapter]) -> dict[str, dict[str, dict[str, str]]]:
    """What the conformance suite found, from `support.json` in the adapter's package."""
    package = adapter.__module__.rpartition(".")[0]
    file = files(package) / "support.json" if package else None
    if file is None or not file.is_file():
        return {}
    families: dict[str, dict[str, dict[str, str]]] = json.loads(file.read_text("utf-8"))["families"]
    return families


def _passed(outcomes: dict[str, str]) -> str:
    if not outcomes:
        return "as its family"
    return f"{sum(o == 'passed' for o in outcomes.values())} of {len(outcomes)}"


def _source(point: EntryPoint) -> dict[str, str]:
    if point.dist is None:
        return {"distribution": "unknown", "version": "unknown"}
    return {"distribution": point.dist.name, "version": point.dist.version}
