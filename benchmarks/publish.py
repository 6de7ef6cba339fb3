"""Put the kept results into the README's tables, or check that they are there.

Run with `python benchmarks/publish.py` after a benchmark; `--check` changes nothing and fails when
the README says something else than the results.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from records import read

README = Path(__file__).parents[1] / "README.md"

_LABELS = {
    "weapon": "weapon seen",
    "kept_in_pair": "harmless thing kept beside it",
    "background": "background kept",
    "harmless_kept": "harmless prompts: things kept",
    "harmless_touched": "harmless prompts touched",
}
_KINDS = {
    "weapon.direct": "by name",
    "weapon.synonym": "by a synonym",
    "weapon.pair": "in a pair",
    "weapon.implicit": "implied",
    "weapon.adversarial": "disguised",
}


def drawn() -> list[str]:
    """What the embedded model draws under each method."""
    results = read("weapons")
    named = sum(results["prompts"][f"weapon-{kind}"] for kind in ("direct", "synonym", "pair"))
    return [
        *_table(["", *_LABELS.values()], _share_rows(results, _LABELS)),
        "",
        f"{named} prompts that name a weapon and {_harmless(results)} that do not, "
        f"{results['steps']} steps, guidance {results['guidance']:g}, {_machine(results)}. "
        f"In brackets 95% intervals.",
    ]


def kinds() -> list[str]:
    """How often a weapon is still seen, by how the prompt puts it."""
    results = read("weapons")
    counts = results["prompts"]
    heads = [
        f"{label} (n={counts[key.replace('weapon.', 'weapon-')]})" for key, label in _KINDS.items()
    ]
    return _table(["weapon seen", *heads], _share_rows(results, _KINDS, interval=False))


def algebra() -> list[str]:
    """Steering's linear algebra against the published formulas taken literally."""
    results = read("steering_algebra")
    rows = []
    for width in sorted({row["width"] for row in results["sizes"]}):
        found = [row for row in results["sizes"] if row["width"] == width]
        rows.append([str(width), *(f"{row['ratio']:.0f}×" for row in found)])
    tokens = sorted({row["tokens"] for row in results["sizes"]})
    first = results["sizes"][0]
    return [
        *_table(["width", *(f"{n} tokens" for n in tokens)], rows),
        "",
        f"{first['concepts']} concepts, medians of {first['thin_ms']['repeats']} and at least "
        f"{min(row['literal_ms']['repeats'] for row in results['sizes'])} runs, one thread, "
        f"{_machine(results)}.",
    ]


def encoder() -> list[str]:
    """Steering's extra time in the text encoder."""
    results = read("encoder_time")
    rows = [
        [
            str(row["tokens"]),
            f"{row['extra']:.2f} ({row['low']:.2f}–{row['high']:.2f})",
            f"{row['published']:.1f} ({row['published_low']:.1f}–{row['published_high']:.1f})",
            f"{row['published'] / row['extra']:.0f}×",
        ]
        for row in results["sizes"]
    ]
    heads = ["prompt tokens", "embedops", "published procedure", "ratio"]
    return [
        *_table(heads, rows),
        "",
        f"Multiples of plain encoding, CLIP ViT-L/14 size with random weights, medians of "
        f"{results['sizes'][0]['repeats']} (minimum–maximum), one thread, {_machine(results)}.",
    ]


SECTIONS: dict[str, Callable[[], list[str]]] = {
    "drawn": drawn,
    "kinds": kinds,
    "algebra": algebra,
    "encoder": encoder,
}


def filled(text: str) -> str:
    """The README's text with every marked section made anew."""
    for name, make in SECTIONS.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if not pattern.search(text):
            raise LookupError(f"the README has no section <!-- {name} --> … <!-- /{name} -->")
        body = "\n".join(make())
        text = pattern.sub(lambda found, body=body: f"{found[1]}{body}\n{found[2]}", text)
    return text


def _share_rows(
    results: dict[str, Any], columns: Iterable[str], *, interval: bool = True
) -> list[list[str]]:
    rows = []
    for label, row in results["rows"].items():
        cells = [label]
        for key in columns:
            found = row[key]
            cell = f"{found['share']:.2f}"
            cells.append(f"{cell} ({found['low']:.2f}–{found['high']:.2f})" if interval else cell)
        rows.append(cells)
    return rows


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [heads, ["---"] * len(heads), *rows]
    return ["| " + " | ".join(cells) + " |" for cells in lines]


def _harmless(results: dict[str, Any]) -> int:
    return sum(results["prompts"][k] for k in ("harmless-single", "harmless-pair", "empty"))


def _machine(results: dict[str, Any]) -> str:
    about = results["machine"]
    return f"{about['processor']}, {about['cores']} cores, torch {about['torch']}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    before = README.read_text(encoding="utf-8")
    after = filled(before)
    if not parser.parse_args().check:
        README.write_text(after, encoding="utf-8")
    elif before != after:
        sys.exit("the README differs from benchmarks/results; run python benchmarks/publish.py")


if __name__ == "__main__":
    main()
