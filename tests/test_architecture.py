"""What the sources promise one another, read from the sources themselves."""

from __future__ import annotations

import ast
import importlib
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from installing import ROOT

import embedops
from embedops.learning.method import Method

CORE = ROOT / "embedops"
PLUGINS = sorted(p for p in (ROOT / "plugins").iterdir() if (p / "__init__.py").is_file())
PIPELINES = sorted(p for p in (ROOT / "pipelines").iterdir() if (p / "__init__.py").is_file())
PACKAGES = (CORE, *PLUGINS, *PIPELINES)
SOURCES = sorted(file for package in PACKAGES for file in package.rglob("*.py"))
OURS = {package.name for package in PACKAGES}

by_name = pytest.mark.parametrize
packages = by_name("package", PACKAGES, ids=lambda p: p.name)
plugin_packages = by_name("package", PLUGINS, ids=lambda p: p.name)
sources = by_name("file", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))


@cache
def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


def imported(package: Path) -> dict[str, set[str]]:
    """Our own packages that `package` imports, each with the files that do."""
    found: dict[str, set[str]] = {}
    for file in package.rglob("*.py"):
        for node in ast.walk(tree_of(file)):
            for name in _imported_by(node):
                top = name.split(".")[0]
                if top in OURS - {package.name}:
                    found.setdefault(top, set()).add(str(file.relative_to(ROOT)))
    return found


def _imported_by(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.level == 0:
        yield node.module or ""
    elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        called = ast.unparse(node.func)
        if called.endswith(("import_module", "__import__")):
            yield str(node.args[0].value)


def strings(file: Path) -> set[str]:
    """String constants that are no docstrings."""
    tree = tree_of(file)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    plain = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in plain
    }


def test_the_core_imports_neither_plugins_nor_pipelines() -> None:
    assert imported(CORE) == {}


@plugin_packages
def test_a_plugin_imports_the_core_alone(package: Path) -> None:
    assert imported(package).keys() <= {"embedops"}


@by_name("package", PIPELINES, ids=lambda p: p.name)
def test_a_pipeline_imports_no_plugin(package: Path) -> None:
    allowed = {"embedops"} | ({"embedops_pipelines"} if package.name == "embedops_emoji" else set())
    assert imported(package).keys() <= allowed


@plugin_packages
def test_a_plugin_names_no_pipeline(package: Path) -> None:
    families = embedops.adapters()
    known = {name for cls in families.values() for name in cls.pipelines}
    known |= families.keys() | {path.name for path in PIPELINES}
    for file in package.rglob("*.py"):
        named = {text for text in strings(file) if text in known or "Pipeline" in text}
        assert named == set(), file


@cache
def entry_points() -> dict[str, dict[str, str]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found: dict[str, dict[str, str]] = project["entry-points"]
    return found


def test_every_plugin_folder_is_registered_under_its_own_name() -> None:
    registered = {}
    for group, kind in (("embedops.plugins", embedops.Plugin), ("embedops.methods", Method)):
        for name, target in entry_points()[group].items():
            module, _, attribute = target.partition(":")
            cls = getattr(importlib.import_module(module), attribute)
            assert issubclass(cls, kind)
            assert cls.name == name
            registered[module.split(".")[0]] = name
    assert registered.keys() == {path.name for path in PLUGINS}


def test_every_other_entry_point_gives_something() -> None:
    for group, points in entry_points().items():
        for target in points.values():
            module, _, attribute = target.partition(":")
            assert callable(getattr(importlib.import_module(module), attribute)), (group, target)


def test_every_adapter_is_registered() -> None:
    targets = set(entry_points()["embedops.pipelines"].values())
    defined = {
        f"{file.parent.name}.{file.stem}:{node.name}"
        for file in (ROOT / "pipelines" / "embedops_pipelines").glob("*.py")
        for node in tree_of(file).body
        if isinstance(node, ast.ClassDef)
        and any(
            isinstance(line, ast.AnnAssign) and ast.unparse(line.target) == "family"
            for line in node.body
        )
    }
    assert defined == targets


def tracked() -> list[Path]:
    """Every Python file of the repository, or of the three roots where there is no repository."""
    listed = subprocess.run(
        ["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    names = listed.stdout.split("\n") if listed.returncode == 0 else []
    return [ROOT / name for name in names if name and (ROOT / name).is_file()] or SOURCES


def test_no_file_is_longer_than_400_lines() -> None:
    lengths = {str(f.relative_to(ROOT)): len(f.read_text().splitlines()) for f in tracked()}
    assert {name: lines for name, lines in lengths.items() if lines > 400} == {}


def test_modules_are_named_after_what_they_hold() -> None:
    nameless = {"utils", "util", "helpers", "helper", "common", "misc"}
    assert [file for file in SOURCES if file.stem in nameless] == []


@sources
def test_the_library_neither_prints_nor_unpickles(file: Path) -> None:
    calls = [n for n in ast.walk(tree_of(file)) if isinstance(n, ast.Call)]
    called = {ast.unparse(n.func) for n in calls if "weights_only=True" not in ast.unparse(n)}
    assert called & {"print", "torch.load", "pickle.load", "pickle.loads", "eval", "exec"} == set()


@sources
def test_functions_say_their_types(file: Path) -> None:
    untyped = []
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            bare = [a.arg for a in given if a.annotation is None and a.arg not in ("self", "cls")]
            if bare or (node.returns is None and node.name != "__init__"):
                untyped.append((node.name, node.lineno))
    assert untyped == []


@packages
def test_packages_ship_their_types(package: Path) -> None:
    assert (package / "py.typed").is_file()
