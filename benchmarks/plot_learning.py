"""Draw `docs/learning.png` from the results of `learning.py`.

Run with `python benchmarks/plot_learning.py`; it needs the `bench` extra.
"""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Any

import matplotlib.pyplot as plt
from records import read
from rich.console import Console

TARGET = Path(__file__).parents[1] / "docs" / "learning.png"
_COLOURS = ("#6b7280", "#2563eb", "#0d9488", "#d97706", "#c026d3")
_MARKERS = ("o", "s", "^", "D", "P")
_EDITS = ("background", "style", "second object")


def main() -> None:
    rows = read("learning")["rows"]
    methods = list(dict.fromkeys(row["method"] for row in rows))
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), dpi=130, layout="constrained")
    for method, colour, marker in zip(methods, _COLOURS, _MARKERS, strict=True):
        own = [row for row in rows if row["method"] == method]
        steps = [row["step"] for row in own]
        curve = [row["figures"]["identity"] for row in own]
        left.plot(steps, [c["mean"] for c in curve], color=colour, marker=marker, label=method)
        left.fill_between(
            steps,
            [c["low"] for c in curve],
            [c["high"] for c in curve],
            color=colour,
            alpha=0.08,
            linewidth=0,
        )
        last: dict[str, Any] = own[-1]["figures"]
        edits = fmean(last[name]["mean"] for name in _EDITS)
        right.scatter(
            last["identity"]["mean"], edits, s=90, color=colour, marker=marker, label=method
        )
    left.set(xlabel="steps", ylabel="identity (centred cosine)", ylim=(-0.2, 1))
    left.set_title("Identity while learning; bands span subjects and seeds", fontsize=10)
    left.legend(frameon=False, fontsize=9, loc="upper left")
    right.set(xlabel="identity", ylabel="editability", xlim=(0, 1), ylim=(0, 1.03))
    right.set_title("At the last step: backgrounds, styles, second objects seen", fontsize=10)
    right.legend(frameon=False, fontsize=9, loc="lower left")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    figure.savefig(TARGET)
    Console().print(f"drawn to {TARGET}")


if __name__ == "__main__":
    main()
