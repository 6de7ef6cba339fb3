"""Which sentence vector tells concepts from other words, for encoders that have none of their own.

Run with `python benchmarks/pooling.py`. The emoji model's text encoder is read token by token, as a
T5 or a language model is. A word's presence is the largest cosine between its sentence "a photo of
a WORD" and the concepts' ones, centred on the vocabulary; the score is the area under the ROC curve
for synonyms of the concepts, never listed, against harmless nouns. For each group of objects in
turn. The second figure is what steering asks: of prompts with two objects, the share in which
masking a word of the object to be found takes the prompt further from the concepts' span than
masking any other word. CLIP's own state at the end of the text stands for comparison.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import records
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

import embedops
from embedops import Subspace
from embedops.families import adapter_for
from embedops_emoji import world

Pool = Callable[[Tensor, int], Tensor]
"""From a sentence's states `[seq, dim]`, BOS first, and the position of EOS to one vector."""

_POOLS: dict[str, Pool] = {
    "mean over content": lambda states, end: states[1:end].mean(0),
    "mean with BOS and EOS": lambda states, end: states[: end + 1].mean(0),
    "mean with padding": lambda states, end: states.mean(0),
    "last content token": lambda states, end: states[end - 1],
    "maximum over content": lambda states, end: states[1:end].amax(0),
    "state at EOS (CLIP's own)": lambda states, end: states[end],
}


def sentences(words: list[str]) -> list[str]:
    return [f"a photo of a {word}" for word in words]


@torch.no_grad()
def vectors(pipe: Any, words: list[str], pool: Pool) -> Tensor:
    """`[len(words), dim]`"""
    tokens = pipe.tokenizer(
        sentences(words), padding="max_length", truncation=True, return_tensors="pt"
    ).input_ids
    states = pipe.text_encoder(tokens).last_hidden_state
    ends = (tokens == pipe.tokenizer.eos_token_id).int().argmax(1).tolist()
    return torch.stack([pool(row, end) for row, end in zip(states, ends, strict=True)])


@torch.no_grad()
def found(pipe: Any, prompt: str, noun: str, concepts: Subspace, pool: Pool) -> bool:
    """Whether the token whose masking goes furthest from `concepts` is one of `noun`'s."""
    ids = pipe.tokenizer(prompt).input_ids
    own = pipe.tokenizer(noun, add_special_tokens=False).input_ids
    end = len(ids) - 1
    start = next(i for i in range(end) if ids[i : i + len(own)] == own)
    masked = torch.tensor([[*ids[:i], 0, *ids[i + 1 :]] for i in range(1, end)])
    states = pipe.text_encoder(masked).last_hidden_state
    distance = concepts.distance(torch.stack([pool(row, end) for row in states]))
    return int(distance.argmax()) + 1 in range(start, start + len(own))


def auc(positive: Tensor, negative: Tensor) -> float:
    """The chance that a positive score exceeds a negative one."""
    wins = (positive[:, None] > negative[None]).float()
    wins += 0.5 * (positive[:, None] == negative[None]).float()
    return float(wins.mean())


def main() -> None:
    pipe = embedops.load("emoji", device="cpu")
    vocabulary = list(adapter_for(pipe).encoder().vocabulary())[:1000]
    rows = {}
    for name, pool in _POOLS.items():
        centre = vectors(pipe, vocabulary, pool).mean(0)

        def unit(words: list[str], pool: Pool = pool, centre: Tensor = centre) -> Tensor:
            return torch.nn.functional.normalize(vectors(pipe, words, pool) - centre, dim=1)

        scores, hits = [], []
        for group in world.GROUP_WORDS:
            members = world.members(group)
            listed = [world.OBJECTS[m].name for m in members]
            hidden = [s for m in members for s in world.OBJECTS[m].synonyms if s not in listed]
            others = [
                noun
                for other in world.OBJECTS.values()
                if other.group != group
                for noun in (other.name, *other.synonyms)
            ]
            concepts = unit(listed)
            span = Subspace.span(vectors(pipe, listed, pool))
            for number, noun in enumerate(hidden):
                prompt = f"a {others[7 * number % len(others)]} and a {noun} on the beach"
                hits.append(found(pipe, prompt, noun, span, pool))
            scores.append(auc(*((unit(w) @ concepts.T).amax(1) for w in (hidden, others))))
        rows[name] = {
            "auc": sum(scores) / len(scores),
            "low": min(scores),
            "high": max(scores),
            "found": sum(hits) / len(hits),
            "prompts": len(hits),
        }
    path = records.write("pooling", {"groups": len(world.GROUP_WORDS), "rows": rows})
    table = Table("sentence vector", "AUC", "lowest group", "highest group", "word found")
    for name, row in rows.items():
        table.add_row(name, *(f"{row[key]:.3f}" for key in ("auc", "low", "high", "found")))
    console = Console()
    console.print(table)
    console.print(f"kept in {path}")


if __name__ == "__main__":
    main()
