"""Steering's extra time in the text encoder, as a multiple of plain encoding.

Run with `python benchmarks/encoder_time.py`. The encoder has the size of CLIP ViT-L/14 and random
weights; plain encoding is what the pipeline does anyway: the prompt and the negative, at full
length. The extra time is all that SAFREE adds to it once the concepts' vectors are cached: watching
the encoder, every masked variant of the prompt, and the linear algebra. Beside it the published
procedure taken literally: at each call the concepts and every masked variant encoded at full
length, then the `dim × dim` formulas. One thread, all by turns in one process.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from published_safree import steer_prompt
from records import machine, write
from rich.console import Console
from rich.progress import track
from rich.table import Table
from transformers import CLIPTextConfig, CLIPTextModel

import embedops
from embedops.families import adapter_for
from embedops.resolve import resolve

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import tiny

_CONCEPTS = 17
_REPEATS = 9
_LITERAL_REPEATS = 3


def large_pipeline() -> Any:
    """A pipeline whose text encoder has the size of CLIP ViT-L/14."""
    pipe = tiny.stable_diffusion()
    size = {"hidden_size": 768, "intermediate_size": 3072}
    depth = {"num_hidden_layers": 12, "num_attention_heads": 12}
    special = {
        "bos_token_id": pipe.tokenizer.bos_token_id,
        "eos_token_id": pipe.tokenizer.eos_token_id,
    }
    config = CLIPTextConfig(vocab_size=len(pipe.tokenizer), **size, **depth, **special)
    pipe.register_modules(text_encoder=CLIPTextModel(config).eval())
    return pipe


@torch.no_grad()
def literal(pipe: Any, prompt: str, phrases: Sequence[str]) -> None:
    """The published procedure, everything at full length and nothing kept."""

    def encode(ids: torch.Tensor) -> Any:
        return pipe.text_encoder(ids)

    def ids_of(texts: Sequence[str]) -> torch.Tensor:
        length = pipe.tokenizer.model_max_length
        return torch.tensor(
            pipe.tokenizer(list(texts), padding="max_length", max_length=length).input_ids
        )

    concepts = encode(ids_of(phrases)).pooler_output
    ids = ids_of([prompt])
    tokens = encode(ids).last_hidden_state[0]
    count = len(pipe.tokenizer.tokenize(prompt))
    masked = ids.repeat(count, 1)
    masked[torch.arange(count), torch.arange(count) + 1] = 0
    steer_prompt(tokens, encode(masked).pooler_output, concepts)


@torch.no_grad()
def measure(pipe: Any, count: int) -> dict[str, Any]:
    """Plain and steered encoding of a prompt of `count` tokens, by turns."""
    words = [w for w in tiny.WORDS if len(pipe.tokenizer.tokenize(w)) == 1]
    prompt = " ".join((words * 2)[:count])
    call = {
        "prompt": [prompt],
        "device": "cpu",
        "num_images_per_prompt": 1,
        "do_classifier_free_guidance": True,
    }
    adapter = adapter_for(pipe)
    phrases = [f"{adjective} {noun}" for adjective in ("red", "old", "big") for noun in words[:6]]
    phrases = phrases[:_CONCEPTS]
    safree = embedops.plugin("safree", phrases=phrases)
    plain, extra, published = [], [], []
    for turn in range(_REPEATS + 1):
        start = time.perf_counter()
        pipe.encode_prompt(**call)
        middle = time.perf_counter()
        _, observed = adapter.observe(pipe.encode_prompt, call)
        schedule, _ = resolve([safree], observed.conditioning, observed.encoder)
        end = time.perf_counter()
        if turn:  # the first fills the cache of concept vectors
            plain.append(middle - start)
            extra.append(((end - middle) - (middle - start)) / (middle - start))
        if turn <= _LITERAL_REPEATS:
            literal(pipe, prompt, phrases)
            published.append((time.perf_counter() - end) / (middle - start))
    tokens = len(schedule.traces[0][0].tokens)
    return {
        "tokens": tokens,
        "plain_ms": 1000 * statistics.median(plain),
        "extra": statistics.median(extra),
        "low": min(extra),
        "high": max(extra),
        "repeats": _REPEATS,
        "published": statistics.median(published[1:]),
        "published_low": min(published[1:]),
        "published_high": max(published[1:]),
        "published_repeats": _LITERAL_REPEATS,
    }


def main() -> None:
    torch.set_num_threads(1)
    pipe = large_pipeline()
    rows = [measure(pipe, n) for n in track((8, 20, 60), description="sizes", transient=True)]
    table = Table("n", "plain, ms", "extra / plain (min … max)", "published procedure / plain")
    for row in rows:
        table.add_row(
            str(row["tokens"]),
            f"{row['plain_ms']:.0f}",
            f"{row['extra']:.2f} ({row['low']:.2f} … {row['high']:.2f})",
            f"{row['published']:.1f} ({row['published_low']:.1f} … {row['published_high']:.1f})",
        )
    Console().print(table)
    write("encoder_time", {"sizes": rows}, machine())


if __name__ == "__main__":
    main()
