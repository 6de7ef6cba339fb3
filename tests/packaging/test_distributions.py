from __future__ import annotations

import json
import tarfile
import zipfile
from pathlib import Path

import pytest
from installing import ROOT, Environment
from PIL import Image

pytestmark = pytest.mark.slow

WEIGHTS = Path("embedops_emoji") / "weights"


def files_under(*roots: Path) -> set[str]:
    """Paths relative to each root of the files a user needs."""
    return {
        str(path.relative_to(root))
        for root in roots
        for path in root.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
    }


def test_the_wheel_holds_every_file_of_the_packages(distributions: dict[str, Path]) -> None:
    with zipfile.ZipFile(distributions[".whl"]) as wheel:
        names = set(wheel.namelist())
    expected = files_under(ROOT / "plugins", ROOT / "pipelines")
    expected |= {f"embedops/{name}" for name in files_under(ROOT / "embedops")}
    hidden = {name for name in expected if any(part.startswith(".") for part in Path(name).parts)}
    assert expected - hidden - names == set()
    weights = {name for name in names if name.startswith(f"{WEIGHTS}/")}
    for part in ("unet", "vae", "text_encoder", "evaluator"):
        assert any(name.startswith(f"{WEIGHTS}/{part}/") for name in weights), part
    assert f"{WEIGHTS}/model_index.json" in weights
    licences = {name.split("/licenses/", 1)[1] for name in names if ".dist-info/licenses/" in name}
    assert {"LICENSE", "NOTICE"} <= licences
    assert "pipelines/embedops_emoji/licenses/fluent-emoji-MIT.txt" in licences


def test_the_wheel_holds_nothing_else(distributions: dict[str, Path]) -> None:
    with zipfile.ZipFile(distributions[".whl"]) as wheel:
        tops = {name.split("/")[0] for name in wheel.namelist()}
    packages = {path.name for root in ("plugins", "pipelines") for path in (ROOT / root).iterdir()}
    extra = {top for top in tops if not top.endswith(".dist-info")} - packages - {"embedops"}
    assert extra == set()


def test_the_wheel_is_small_enough_to_download(distributions: dict[str, Path]) -> None:
    assert distributions[".whl"].stat().st_size < 40e6


def test_the_sdist_holds_the_sources_and_the_licences(distributions: dict[str, Path]) -> None:
    with tarfile.open(distributions[".gz"]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "NOTICE", "embedops/__init__.py"} <= names
    assert f"pipelines/{WEIGHTS}/model_index.json" in names
    assert not {name for name in names if name.startswith(("tests/", "benchmarks/"))}


def test_the_installed_command_lists_what_is_installed(
    environment: Environment, tmp_path: Path
) -> None:
    listed = json.loads(environment.run("embedops", "plugins", "--json", cwd=tmp_path))
    assert {"safree", "redact", "decor"} <= {entry["name"] for entry in listed}
    where = "import embedops, embedops_safree as s; print(embedops.__file__, s.__file__)"
    for file in environment.run("python", "-c", where, cwd=tmp_path).split():
        assert Path(file).is_relative_to(environment.packages)


def test_the_installed_demo_draws_its_picture(environment: Environment, tmp_path: Path) -> None:
    options = ("--steps", "4", "--prompts", "2", "--json")
    told = json.loads(environment.run("embedops", "demo", *options, cwd=tmp_path))
    assert told["skipped"] == []
    with Image.open(tmp_path / "outputs" / "demo.png") as picture:
        assert picture.height > picture.width > 500
        assert json.loads(picture.text["embedops"])["methods"] == told["methods"]
    assert all(len(method["pictures"]) == 2 for method in told["methods"])
