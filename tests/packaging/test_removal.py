from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from installing import ROOT, Environment, build

PLUGINS = sorted(path.parent.name for path in (ROOT / "plugins").glob("*/__init__.py"))

SURVEY = """
import sys
sys.path.insert(0, {tests!r})
import tiny, embedops

gone, other = {gone!r}, {other!r}
names = [info.name for info in embedops.plugins()]
assert gone not in names and other in names, names
try:
    embedops.plugin(gone, phrases="a gun")
except embedops.UnknownNameError:
    pass
else:
    sys.exit("the plugin is still there")
pipe = tiny.stable_diffusion()
with embedops.attach(pipe, embedops.plugin(other, phrases="a gun")) as session:
    pipe("a pistol on a table", num_inference_steps=2, height=16, width=16)
    assert session.report.verdicts[0].checked
"""


@pytest.mark.slow
@pytest.mark.parametrize("package", PLUGINS)
def test_a_plugin_can_be_deleted(package: str, tmp_path: Path) -> None:
    """Its folder and its line go, and everything else works as before."""
    tree, out = tmp_path / "tree", tmp_path / "dist"
    tree.mkdir()
    out.mkdir()
    for name in ("embedops", "plugins", "pipelines"):
        ignored = shutil.ignore_patterns("__pycache__", "weights", "assets")
        shutil.copytree(ROOT / name, tree / name, ignore=ignored)
    for name in ("README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, tree)
    shutil.rmtree(tree / "plugins" / package)
    lines = (ROOT / "pyproject.toml").read_text().splitlines(keepends=True)
    kept = [line for line in lines if f'"{package}:' not in line]
    [line] = [line for line in lines if f'"{package}:' in line]
    (tree / "pyproject.toml").write_text("".join(kept))
    gone = re.match(r"[\w-]+", line)
    assert gone is not None

    [wheel] = build(tree, out, "--wheel")
    environment = Environment.make(tmp_path / "environment")
    environment.install(wheel)
    other = "safree" if gone[0] != "safree" else "redact"
    survey = SURVEY.format(tests=str(ROOT / "tests"), gone=gone[0], other=other)
    environment.run("python", "-c", survey, cwd=tmp_path)
