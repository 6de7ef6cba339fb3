from __future__ import annotations

from pathlib import Path

import pytest
from installing import ROOT, Environment, build


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The sdist, and the wheel that is built from it, by suffix."""
    return {path.suffix: path for path in build(ROOT, tmp_path_factory.mktemp("dist"))}


@pytest.fixture(scope="session")
def environment(
    distributions: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Environment:
    """An environment with the wheel installed."""
    made = Environment.make(tmp_path_factory.mktemp("environment"))
    made.install(distributions[".whl"])
    return made
