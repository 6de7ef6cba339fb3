"""Put the kept results into the tables of the README and the docs, or check that they are there.

Run with `python benchmarks/publish.py` after a benchmark; `--check` changes nothing and fails when
a page says something else than the results.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from records import read

ROOT = Path(__file__).parents[1]

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


def overhead() -> list[str]:
    """What a session adds to a call."""
    results = read("overhead")
    rows = [
        [row["with"], f"{row['ratio']:.3f} ({row['low']:.3f}–{row['high']:.3f})"]
        for row in results["calls"]
    ]
    families = results["families"]
    later = sorted(row["later_us"] for row in families)
    first = sorted(row["first_us"] for row in families)
    return [
        *_table(["session", "time of a call, as a multiple of a plain one"], rows),
        "",
        f"The emoji model, {results['prompts']} prompts, {results['steps']} steps, medians of "
        f"{results['turns']} turns (minimum–maximum). In the hooks of {len(families)} pipeline "
        f"classes a step takes {later[0]:.0f} to {later[-1]:.0f} µs, the first, in which plugins "
        f"may be asked, {first[0] / 1000:.1f} to {first[-1] / 1000:.1f} ms on tiny encoders. One "
        f"thread, {_machine(results)}.",
    ]


_CLIPS = {
    "weapon": "clips with a weapon",
    "weapon_frames": "frames with a weapon",
    "kept": "harmless objects kept",
    "background": "background kept",
    "motion": "asked motion seen",
}


def video() -> list[str]:
    """What the moving model draws under filters."""
    results = read("video")
    rows = _share_rows(results, _CLIPS)
    for cells, row in zip(rows, results["rows"].values(), strict=True):
        cells.append(f"{row['steadiness']['share']:.2f}")
    return [
        *_table(["", *_CLIPS.values(), "steadiness"], rows),
        "",
        f"{results['count']} prompts that name a weapon and {results['count']} that do not, "
        f"{results['frames']} frames, {results['steps']} steps, guidance {results['guidance']:g}, "
        f"{_machine(results)}. In brackets 95% intervals. Motion is judged where the object is "
        f"seen; steadiness is the share of neighbouring frames that show the same objects.",
    ]


_LEARNT = {
    "identity": "identity",
    "recognised": "recognised",
    "background": "asked background",
    "both": "both",
    "style": "asked style",
    "second object": "second object",
    "kept background": "kept background",
}


def learning() -> list[str]:
    """What the learning methods make of unseen subjects, step by step."""
    results = read("learning")
    rows = []
    for row in results["rows"]:
        cells = [row["method"], str(row["step"]), f"{row['seconds_per_step'] * row['step']:.0f}"]
        for name in _LEARNT:
            found = row["figures"].get(name)
            spread = "" if found is None else f"{found['mean']:.2f}"
            if found is not None and name in ("identity", "both"):
                spread += f" ({found['low']:.2f}–{found['high']:.2f})"
            cells.append(spread)
        rows.append(cells)
    runs = min(row["runs"] for row in results["rows"])
    return [
        *_table(["method", "steps", "seconds", *_LEARNT.values()], rows),
        "",
        f"{len(results['subjects'])} subjects, {runs} runs a row or more, {results['pictures']} "
        f"pictures each; in brackets the lowest and highest run. Seconds of one thread, learning "
        f"alone. {_machine(results)}.",
    ]


def cross_init_start() -> list[str]:
    """Whether the text encoder understands its own output as input."""
    found = read("cross_init_start")
    return [
        f"The {found['words']} objects' E(v̄), {found['start_length']:.1f} long where the rows are "
        f"{found['row_length']:.2f}, have a mean cosine of {found['cosine_of_starts']:.2f} with "
        f"one another; the rows have {found['cosine_of_rows']:.2f}. Read as input, "
        f"{found['found_again']:.0%} of them say the word that they came from (by chance: "
        f"{1 / found['words']:.0%})."
    ]


def pooling() -> list[str]:
    """How well sentence vectors tell concepts from other words."""
    results = read("pooling")
    rows = [
        [name, f"{row['auc']:.3f} ({row['low']:.3f}–{row['high']:.3f})", f"{row['found']:.2f}"]
        for name, row in results["rows"].items()
    ]
    prompts = next(iter(results["rows"].values()))["prompts"]
    return [
        *_table(["sentence vector", "synonyms told from other nouns, AUC", "the word found"], rows),
        "",
        f"AUC over {results['groups']} groups of objects (lowest–highest). The last column is the "
        f"share of {prompts} prompts with two objects in which masking the right word goes "
        f"furthest from the concepts.",
    ]


Sections = dict[str, Callable[[], list[str]]]
PAGES: dict[str, Sections] = {
    "README.md": {
        "drawn": drawn,
        "kinds": kinds,
        "algebra": algebra,
        "encoder": encoder,
        "overhead": overhead,
        "video": video,
    },
    "docs/learning.md": {"learning": learning, "cross-init-start": cross_init_start},
    "docs/adapters.md": {"pooling": pooling},
}


def filled(text: str, sections: Sections) -> str:
    """A page's text with every marked section made anew."""
    for name, make in sections.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if not pattern.search(text):
            raise LookupError(f"the page has no section <!-- {name} --> … <!-- /{name} -->")
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
    check = parser.parse_args().check
    for name, sections in PAGES.items():
        page = ROOT / name
        before = page.read_text(encoding="utf-8")
        after = filled(before, sections)
        if not check:
            page.write_text(after, encoding="utf-8")
        elif before != after:
            sys.exit(f"{name} differs from benchmarks/results; run python benchmarks/publish.py")


if __name__ == "__main__":
    main()
