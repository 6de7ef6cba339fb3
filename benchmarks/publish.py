"""Put the kept results into the tables of the README and the docs, or check that they are there.

Run with `python benchmarks/publish.py` after a benchmark; `--check` changes nothing and fails when
a page says something else than the results.
"""

from __future__ import annotations

import argparse
import re
import statistics
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


def memory() -> list[str]:
    """What memory a session takes."""
    results = read("memory")
    rows = [
        [row["with"], f"{row['ratio']:.3f}", f"{row['first_ratio']:.3f}"]
        for row in results["embedded"]
    ]
    held = sorted(row["ratio"] for row in results["families"])
    return [
        *_table(["session", "peak memory, as a multiple of a plain call's", "first call"], rows),
        "",
        f"The emoji model, {results['prompts']} prompts, weights included. In its first call "
        f"`redact` encodes the vocabulary to set its threshold. While the denoiser runs, a session "
        f"that edits every row holds {held[0]:.1f} to {held[-1]:.1f} times the bytes that the text "
        f"encoders gave, over {len(held)} pipeline classes, {statistics.median(held):.1f} in the "
        f"median. "
        f"{_machine(results)}.",
    ]


def real() -> list[str]:
    """What a session adds at the sizes of real models."""
    entries = read("real_size")["entries"].values()
    rows = [
        [
            entry["shape"],
            row["with"],
            f"{1000 * row['asked_s']['median']:.0f} ms",
            f"{1000 * row['later_hooks_s']['median']:.2f} ms",
            f"{100 * row['of_a_call']:.2f}%",
            f"{100 * row['peak_more']:.2f}%",
        ]
        for entry in entries
        for row in entry["rows"]
    ]
    notes = [
        f"{entry['shape']} at {'×'.join(str(n) for n in entry['inputs'].values())}: a step takes "
        f"{entry['step_s']:.3g} s ({entry['step_low_s']:.3g}–{entry['step_high_s']:.3g}) and a "
        f"call {entry['usual_steps']} steps, {entry.get('device') or _machine(entry)}."
        for entry in entries
    ]
    waits = max(row["more_waits_a_step"] for entry in entries for row in entry["rows"])
    heads = ["model", "session", "when encoding", "in a step", "of a call's time", "of its memory"]
    return [
        *_table(heads, rows),
        "",
        f"What a session adds, medians, with random weights in bfloat16 and one prompt. Memory is "
        f"the peak with weights and without decoding. After its first, a step waits for the device "
        f"{waits or 'no'} more often than without a session. {' '.join(notes)}",
    ]


def learning_cost() -> list[str]:
    """What a step of learning costs."""
    results = read("learning_cost")
    seconds, memory = results["seconds"], results["memory"]["float32"]
    rows = []
    for name in seconds["float32"]:
        cells = [_PROCEDURES[name]]
        for found in seconds.values():
            one, literal = found[name], found["literal"]["median"]
            cell = f"{one['median']:.2f} s ({one['low']:.2f}–{one['high']:.2f})"
            cells.append(cell if name == "literal" else f"{cell}, {literal / one['median']:.2f}×")
        rows.append([*cells, _bytes(memory[name]["optimiser"]), _bytes(memory[name]["peak"])])
    parts = results["literal_parts"]["float32"]
    mixed = seconds["float32"]["literal"]["median"]
    mixed /= seconds["bfloat16"]["textual-inversion"]["median"]
    heads = ["a step", *(f"in {dtype}" for dtype in seconds), "optimiser keeps", "peak of memory"]
    return [
        *_table(heads, rows),
        "",
        f"Stable Diffusion 1.5's sizes with random weights, pictures of "
        f"{results['size']}×{results['size']} pixels, batch {results['batch']}, medians of "
        f"{results['turns'] * results['steps']} steps by "
        f"turns (minimum–maximum), and how many times as fast as the literal one. Memory is in "
        f"float32, beside the weights. The literal step's parts: "
        f"{', '.join(f'{name} {value:.2f} s' for name, value in parts.items())}. Ours in bfloat16 "
        f"is {mixed:.1f}× as fast as the literal one in float32. Processor time of one thread, "
        f"{_machine(results)}.",
    ]


_PROCEDURES = {
    "literal": "textual inversion, literally",
    "textual-inversion": "`textual-inversion`",
    "cross-init": "`cross-init`",
    "cones": "`cones`",
}
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


def app() -> list[str]:
    """How long the page takes."""
    results = read("app")

    def told(found: dict[str, float]) -> str:
        return f"{found['median']:.1f} s ({found['low']:.1f}–{found['high']:.1f})"

    rows = [
        [tab, told(row["first_picture"]), told(row["done"])] for tab, row in results["rows"].items()
    ]
    return [
        f"The page answers {told(results['until_it_answers'])} after the command, and can be used "
        f"after {told(results['until_interactive'])}. From a click, with each tab as it opens:",
        "",
        *_table(["", "first picture", "done"], rows),
        "",
        f"In Chromium on the same machine; medians of {results['runs']} runs (lowest–highest), "
        f"{_machine(results)}.",
    ]


Sections = dict[str, Callable[[], list[str]]]
PAGES: dict[str, Sections] = {
    "README.md": {
        "drawn": drawn,
        "kinds": kinds,
        "algebra": algebra,
        "encoder": encoder,
        "overhead": overhead,
        "memory": memory,
        "real": real,
        "learning-cost": learning_cost,
        "video": video,
    },
    "docs/learning.md": {"learning": learning, "cross-init-start": cross_init_start},
    "docs/app.md": {"app": app},
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


def _bytes(count: int) -> str:
    return f"{count / 1e6:.0f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"


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
