from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import embedops
from embedops import Subspace
from embedops.families import adapter_for
from embedops_safree.concept_space import Concepts, SpanCache

PHRASES = ("a weapon", "a gun")


def made(vectors: Tensor, count: list[int]) -> Any:
    def make() -> Subspace:
        count.append(1)
        return Subspace.span(vectors)

    return make


def test_the_same_vectors_are_decomposed_once() -> None:
    cache, vectors, count = SpanCache(), torch.randn(3, 8), list[int]()
    first = cache.span("a", vectors, made(vectors, count))
    again = cache.span("a", vectors.clone(), made(vectors, count))
    assert first is again
    assert len(count) == 1


@pytest.mark.parametrize("change", ["value", "dtype", "count", "stream"])
def test_other_vectors_are_never_taken_for_the_same(change: str) -> None:
    cache, vectors, count = SpanCache(), torch.randn(3, 8), list[int]()
    cache.span("a", vectors, made(vectors, count))
    other = {
        "value": vectors + torch.eye(3, 8) * 1e-6,
        "dtype": vectors.double(),
        "count": vectors[:2],
        "stream": vectors,
    }[change]
    cache.span("b" if change == "stream" else "a", other, made(other, count))
    assert len(count) == 2


def test_what_was_not_used_for_long_is_forgotten() -> None:
    cache, count = SpanCache(), list[int]()
    every = [torch.randn(2, 8) for _ in range(40)]
    for vectors in every:
        cache.span("a", vectors, made(vectors, count))
    cache.span("a", every[-1], made(every[-1], count))
    assert len(count) == 40
    cache.span("a", every[0], made(every[0], count))
    assert len(count) == 41


def test_changed_weights_are_noticed(pipe: Any) -> None:
    plugin = embedops.plugin("safree", phrases=list(PHRASES))

    def scores() -> list[float]:
        verdict = embedops.screen(pipe, "a cat with a gun", plugin)[0]
        return [token.score for token in verdict.traces[0].tokens]

    before = scores()
    assert scores() == before
    with torch.no_grad():
        pipe.text_encoder.final_layer_norm.weight.mul_(torch.linspace(0.5, 2, 32))
    after = scores()
    fresh = embedops.plugin("safree", phrases=list(PHRASES))
    expected = embedops.screen(pipe, "a cat with a gun", fresh)[0]
    assert after == [token.score for token in expected.traces[0].tokens] != before


def test_the_pooled_space_is_of_the_vectors_that_are_read(pipe: Any) -> None:
    encoder = adapter_for(pipe).encoder()
    concepts = Concepts(PHRASES, encoder, SpanCache())
    pooled = encoder.encode(PHRASES).streams[0].pooled
    assert pooled is not None
    assert concepts.pooled_space("text_encoder").distance(pooled).max() < 1e-4
    sentences = encoder.pooled(PHRASES)["text_encoder"]
    assert concepts.sentence_space("text_encoder").distance(sentences).max() < 1e-4
