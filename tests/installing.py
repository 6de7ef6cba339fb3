"""Building distributions of this repository, and environments of their own to install them in."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def build(source: Path, out: Path, *kinds: str) -> list[Path]:
    """Build `source` into `out`: `"--wheel"`, `"--sdist"`, or without either the wheel from the
    sdist."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), *kinds]
    run(*command, str(source), cwd=out)
    return sorted(out.iterdir())


def run(*command: str, cwd: Path, environment: dict[str, str] | None = None) -> str:
    """Standard output of a command, which must succeed."""
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=570
    )
    assert done.returncode == 0, f"{command} exited with {done.returncode}:\n{done.stderr}"
    return done.stdout


@dataclass(frozen=True)
class Environment:
    """A virtual environment that sees this one's dependencies, and not this checkout."""

    home: Path

    @classmethod
    def make(cls, home: Path) -> Environment:
        venv.create(home, with_pip=False, symlinks=True)
        # A path file does not have the path files there read in turn, so that what is installed
        # here in editable form stays out.
        outer = Path(sysconfig.get_path("purelib"))
        (cls(home).packages / "outer.pth").write_text(f"{outer}\n")
        return cls(home)

    @property
    def packages(self) -> Path:
        return Path(sysconfig.get_path("purelib", "venv", {"base": str(self.home)}))

    def install(self, distribution: Path) -> None:
        pip = (sys.executable, "-m", "pip", "--python", str(self.home / "bin" / "python"))
        options = ("--quiet", "--no-deps", "--no-index", "--force-reinstall")
        run(*pip, "install", *options, str(distribution), cwd=self.home)

    def run(self, command: str, *arguments: str, cwd: Path) -> str:
        """Standard output of a command of the environment, called from the folder `cwd`."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        # As in the tests themselves: the models are too small for a second thread to help.
        environment["OMP_NUM_THREADS"] = "1"
        return run(str(self.home / "bin" / command), *arguments, cwd=cwd, environment=environment)
