"""What the conformance suite found, kept as the support matrix that users see.

`pytest tests/embedops_pipelines --write-support` writes `support.json` beside the adapters and the
page in docs/. Every other run that meets an outcome that differs from what is written fails.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from embedops import adapters
from embedops.testing import Conformance

ROOT = Path(__file__).parent.parent
FILE = ROOT / "pipelines/embedops_pipelines/support.json"
PAGE = ROOT / "docs/pipelines.md"
PASSED, NOT_RUN = "passed", "needs CUDA"
_PROPERTY = "conformance"

Support = dict[str, dict[str, dict[str, str]]]
"""By family, by pipeline, by test: `PASSED`, or why it was skipped."""


class SupportMatrix:
    """Collects the outcomes of a run."""

    def __init__(self, config: pytest.Config) -> None:
        self._write = bool(config.getoption("--write-support"))
        self._collects = not hasattr(config, "workerinput")  # workers only report
        self._found: Support = {}
        self._differing: list[str] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Any:
        report: pytest.TestReport = yield
        case = getattr(item, "callspec", None) and item.callspec.params.get("case")  # type: ignore[attr-defined]
        ours = isinstance(item, pytest.Function) and issubclass(item.cls or object, Conformance)
        decided = report.when == "call" or (report.when == "setup" and report.skipped)
        if not ours or case is None or not decided:
            return report
        outcome = PASSED
        if report.skipped:
            outcome = str(report.longrepr[2]).removeprefix("Skipped: ")  # type: ignore[index]
        elif report.failed:
            outcome = "failed"
        family = family_of(case.name)
        name = item.originalname.removeprefix("test_").replace("_", " ")  # type: ignore[attr-defined]
        report.user_properties.append((_PROPERTY, (family, case.name, name, outcome)))
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for key, value in report.user_properties:
            if key == _PROPERTY:
                family, pipeline, name, outcome = (str(part) for part in value)  # type: ignore[attr-defined]
                self._found.setdefault(family, {}).setdefault(pipeline, {})[name] = outcome

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if not self._collects:
            return
        known = written_before()
        if self._write:
            for family, pipelines in self._found.items():
                known.setdefault(family, {}).update(pipelines)
            written = {
                "versions": {
                    name: version(name).partition("+")[0]
                    for name in ("diffusers", "transformers", "torch")
                },
                "families": {
                    family: dict(sorted(pipelines.items()))
                    for family, pipelines in sorted(known.items())
                },
            }
            FILE.write_text(json.dumps(written, indent=1, ensure_ascii=False) + "\n")
            PAGE.write_text(page(written))
            return
        for family, pipelines in self._found.items():
            for pipeline, tests in pipelines.items():
                listed = known.get(family, {}).get(pipeline, {})
                for test, outcome in tests.items() if listed else ():
                    before = listed.get(test, "not listed")
                    if outcome not in ("failed", before) and NOT_RUN not in (outcome, before):
                        self._differing.append(f"{pipeline}, {test}: {outcome}; listed: {before}")
        if self._differing and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        for line in self._differing:
            terminalreporter.write_line(f"not as in {FILE.name}: {line}")
        if self._differing:
            terminalreporter.write_line(
                "Write it anew: pytest tests/embedops_pipelines --write-support"
            )


def written_before() -> Support:
    """The outcomes that are kept."""
    families: Support = json.loads(FILE.read_text())["families"] if FILE.is_file() else {}
    return families


def family_of(pipeline: str) -> str:
    """The family that serves a pipeline class, by its name."""
    for family, adapter in adapters().items():
        if pipeline.split(" ")[0] in adapter.pipelines:
            return family
    raise LookupError(f"no adapter lists {pipeline!r}; a case is named after its pipeline's class")


def page(support: dict[str, Any]) -> str:
    """The support matrix for people, in Markdown."""
    families: Support = support["families"]
    tests = list(dict.fromkeys(t for f in families.values() for p in f.values() for t in p))
    versions = ", ".join(f"{name} {number}" for name, number in support["versions"].items())
    lines = [
        "# Supported pipelines",
        "",
        "Written by `pytest tests/embedops_pipelines --write-support`; the test suite fails where",
        "it no longer holds. Tiny pipelines with random weights, run on the CPU with "
        + versions
        + ".",
        "",
        "✓ passed, – see the reasons below, ○ needs CUDA and was not run.",
        "",
        "| family | pipeline | " + " | ".join(str(n) for n in range(1, len(tests) + 1)) + " |",
        "|---|---|" + "---|" * len(tests),
    ]
    reasons: list[str] = []
    for family, pipelines in families.items():
        for pipeline, outcomes in pipelines.items():
            marks = []
            for test in tests:
                outcome = outcomes.get(test, "")
                marks.append("✓" if outcome == PASSED else "○" if outcome == NOT_RUN else "–")
                if outcome not in (PASSED, NOT_RUN):
                    reasons.append(f"- {pipeline}, {test}: {outcome}.")
            lines.append(f"| {family} | {pipeline} | " + " | ".join(marks) + " |")
    lines += ["", *(f"{n}. {test}" for n, test in enumerate(tests, 1)), "", "## Reasons", ""]
    lines += [*dict.fromkeys(reasons), "", "## Relatives", ""]
    lines.append("These share the text path of their family and are served by the same adapter:")
    lines.append("")
    for family, adapter in adapters().items():
        others = [p for p in adapter.pipelines if p not in families.get(family, {})]
        if others:
            lines.append(f"- {family}: {', '.join(others)}")
    return "\n".join(lines) + "\n"
