from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import Run

import embedops

COMMANDS = ("demo", "generate", "screen", "plugins", "pipelines")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_what_and_shows_examples(run: Run, command: str) -> None:
    result = run(command, "--help")
    assert result.code == 0
    assert f"embedops {command}" in result.out.split("Examples:")[1]
    if command in ("demo", "generate", "screen"):
        assert all(o in result.out for o in ("--model", "--device", "--dtype", "--json"))


def test_help_imports_neither_torch_nor_diffusers() -> None:
    check = (
        "import sys\n"
        "from embedops.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit(sorted({'torch', 'diffusers', 'transformers', 'PIL'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "generate" in done.stdout


def test_the_lazy_names_of_the_package_are_all_there() -> None:
    assert all(getattr(embedops, name) is not None for name in embedops.__all__)
    assert set(embedops.__all__) <= set(dir(embedops))
    with pytest.raises(AttributeError, match="no attribute 'attatch'"):
        embedops.attatch  # noqa: B018


def test_threads_do_not_spin_unless_the_user_says_so(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    run("--version")
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    run("--version")
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"


def test_version(run: Run) -> None:
    assert run("--version").out.startswith("embedops 0.")


def test_plugins_lists_what_python_lists(run: Run, say_plugin: str) -> None:
    listed = run("plugins", "--json").json
    expected = [
        dataclasses.asdict(info) | {"options": list(info.options)} for info in embedops.plugins()
    ]
    assert listed == expected
    [probe] = [entry for entry in listed if entry["name"] == say_plugin]
    assert (probe["distribution"], probe["version"]) == ("probe", "3.2.1")
    table = run("plugins").out
    assert "Lets prompts that hold a word read as another prompt." in table
    assert "probe 3.2.1" in table


def test_plugins_tells_the_settings_of_one(run: Run, say_plugin: str) -> None:
    schema = run("plugins", say_plugin, "--json").json
    assert schema["properties"]["instead"]["default"] == "a cat on the beach"
    assert schema["additionalProperties"] is False
    assert "'pistol'" in run("plugins", say_plugin).out


def test_settings_documented_in_the_docstring_are_shown(run: Run) -> None:
    described = run("plugins", "safree", "--json").json["properties"]["alpha"]["description"]
    assert described
    assert described in run("plugins", "safree").out


def test_pipelines_lists_families_and_models(run: Run) -> None:
    listed = run("pipelines", "--json").json
    families = {entry["family"]: entry for entry in listed["families"]}
    assert families.keys() == embedops.adapters().keys()
    assert "StableDiffusionPipeline" in families["stable-diffusion"]["pipelines"]
    assert "emoji" in [entry["model"] for entry in listed["models"]]
    assert "stable-diffusion" in run("pipelines").out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("plugins", "safre"), "did you mean 'safree'?"),
        (("generate", "x", "--plugin", "nothing"), "unknown plugin 'nothing'"),
        (("generate", "x", "--device", "toaster"), "--device 'toaster' is no device"),
        (("generate", "x", "--device", "cuda:99"), "CUDA devices that PyTorch can use"),
        (("generate", "x", "--model", "no/such/model"), "cannot load 'no/such/model'"),
        (("generate", "x", "--width", "20"), "width 20: expected a multiple of 8, such as 24"),
        (("screen", "--concepts", "weapons"), "no prompts"),
        (("screen", "a cat"), "nothing to look for"),
        (("screen", "a cat", "--concepts", "wepons"), "did you mean 'weapons'"),
    ],
)
def test_errors_are_one_line_and_exit_with_2(
    run: Run, model: Path, arguments: tuple[str, ...], expected: str
) -> None:
    chosen = () if "--model" in arguments or arguments[0] == "plugins" else ("--model", model)
    result = run(*arguments, *chosen)
    assert (result.code, result.out) == (2, "")
    lines = result.err.strip().splitlines()
    assert lines[-1].startswith("error: ")
    assert expected in lines[-1]
    assert "Traceback" not in result.err


def test_a_broken_plugin_is_named(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = tmp_path / "wreck-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: wreck\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[embedops.plugins]\nwreck = no_such_module:Wreck\n")
    monkeypatch.syspath_prepend(tmp_path)
    result = run("plugins")
    assert result.code == 2
    assert "plugin 'wreck' (no_such_module:Wreck)" in result.err


@pytest.mark.slow
def test_ctrl_c_exits_with_130_and_no_traceback(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ["--batch", "1", "--steps", "20", "--model", str(model), "--out", str(out)]
    process = subprocess.Popen(
        [sys.executable, "-m", "embedops.cli", "generate", *["a cat"] * 500, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that runs the tests in the background hands on an ignored SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 300
    while not list(out.glob("*.png")) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert 0 < len(list(out.glob("*.png"))) < 500
