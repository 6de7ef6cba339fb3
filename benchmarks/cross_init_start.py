"""Does the embedded text encoder understand its own output as input, where Cross Initialization
starts?

Run with `python benchmarks/cross_init_start.py`. For the canonical name of every trained object,
E(v̄) takes the placeholder's place in "a <word>". If it still said the word, the sentence's pooled
vector would be nearest to that of "a WORD".
"""

from __future__ import annotations

from typing import Any

import records
import torch
from rich.console import Console
from torch import Tensor

import embedops
from embedops.families import adapter_for
from embedops.learning.method import Task
from embedops.learning.rows import encoded_rows, rows_of_words
from embedops.placeholders import Placeholders
from embedops_emoji import world

_TOKEN = "<word>"  # noqa: S105  # a placeholder
_ENCODER = "text_encoder"


def mean_cosine(rows: Tensor) -> float:
    """The mean over all pairs of different rows `[count, dim]`."""
    unit = rows / rows.norm(dim=1, keepdim=True)
    cosines = unit @ unit.T
    count = len(rows)
    return float((cosines.sum() - count) / (count * (count - 1)))


@torch.no_grad()
def pooled(pipe: Any, text: str) -> Tensor:
    ids = pipe.tokenizer(text, padding="max_length", return_tensors="pt").input_ids
    found: Tensor = pipe.text_encoder(ids).pooler_output[0]
    return found


def main() -> None:
    pipe = embedops.load("emoji", device="cpu")
    adapter = adapter_for(pipe)
    task = Task(adapter, adapter.denoising(), [], _TOKEN, 0)
    names = list(world.OBJECTS)
    rows = torch.cat([rows_of_words(task, name, 1)[_ENCODER] for name in names])
    starts = torch.cat([encoded_rows(task, {_ENCODER: row[None]})[_ENCODER] for row in rows])
    placeholders = Placeholders(pipe, adapter.tokenizers())
    placeholders.add(_TOKEN, {_ENCODER: rows[:1]})
    said = {}
    for kind, vectors in (("rows", rows), ("starts", starts)):
        sentences = []
        for vector in vectors:
            placeholders.put(_TOKEN, {_ENCODER: vector[None]})
            sentences.append(pooled(pipe, f"a {_TOKEN}"))
        said[kind] = torch.stack(sentences)
    placeholders.clear()
    centre = said["rows"].mean(0)
    cosines = torch.cosine_similarity(
        (said["starts"] - centre)[:, None], (said["rows"] - centre)[None], dim=-1
    )
    results = {
        "words": len(names),
        "row_length": float(rows.norm(dim=1).mean()),
        "start_length": float(starts.norm(dim=1).mean()),
        "cosine_of_rows": mean_cosine(rows),
        "cosine_of_starts": mean_cosine(starts),
        "own_cosine": float(cosines.diagonal().mean()),
        "found_again": float((cosines.argmax(1) == torch.arange(len(names))).float().mean()),
    }
    Console().print(results)
    Console().print(f"kept in {records.write('cross_init_start', results)}")


if __name__ == "__main__":
    main()
