from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from embedops import Conditioning, GuardError, LeaveOneOut
from embedops.families import adapter_for
from embedops_redact.gate import Gate
from embedops_redact.presence import PresenceMeter, in_sentence

SETTINGS = {"quantile": 0.9, "margin": 0.25}


class TableEncoder:
    """An encoder whose sentence vectors are given: one or more streams of `[dim]` by word."""

    presets: Mapping[str, tuple[str, ...]] = {}

    def __init__(self, words: Sequence[str], *streams: Callable[[str], Tensor]) -> None:
        self._words = tuple(words)
        self._streams = streams
        self.asked: list[str] = []

    def pooled(self, texts: Sequence[str]) -> Mapping[str, Tensor]:
        self.asked += texts
        words = [t.removeprefix("a photo of ").removeprefix("a ") for t in texts]
        return {
            f"text_encoder_{i}": torch.stack([stream(w) for w in words])
            for i, stream in enumerate(self._streams)
        }

    def vocabulary(self) -> tuple[str, ...]:
        return self._words

    def encode(self, texts: Sequence[str]) -> Conditioning:
        raise NotImplementedError

    def encode_negative(self, texts: Sequence[str]) -> Conditioning:
        raise NotImplementedError

    def leave_one_out(self, conditioning: Conditioning) -> Mapping[str, tuple[LeaveOneOut, ...]]:
        raise NotImplementedError


WORDS = tuple(f"word{i}" for i in range(400))


@functools.cache
def noise(word: str, dim: int = 24) -> Tensor:
    return torch.randn(dim, generator=torch.Generator().manual_seed(zlib.crc32(word.encode())))


def meter(encoder: TableEncoder, *phrases: str, **settings: float) -> PresenceMeter:
    return PresenceMeter(encoder, phrases or ("gun",), **{**SETTINGS, **settings})


def test_a_concept_itself_has_presence_one() -> None:
    heard = meter(TableEncoder(WORDS, noise), "gun", "knife")(["gun", "knife", "word3"])
    assert heard["gun"].score == pytest.approx(1.0, abs=1e-5)
    assert heard["knife"].triggered
    assert not heard["word3"].triggered


@settings(max_examples=25)
@given(st.floats(0.05, 0.95), st.integers(0, 5))
def test_without_a_margin_the_quantile_is_the_share_of_the_vocabulary_below(
    quantile: float, seed: int
) -> None:
    words = tuple(f"{seed}-{word}" for word in WORDS)
    found = meter(TableEncoder(words, noise), quantile=quantile, margin=0.0)
    above = sum(p.triggered for p in found(words).values())
    assert above / len(words) == pytest.approx(1.0 - quantile, abs=1.5 / len(words))


@settings(max_examples=25)
@given(st.floats(0.0, 0.99), st.floats(0.0, 0.99))
def test_the_margin_goes_from_the_quantile_to_the_concepts(one: float, other: float) -> None:
    encoder = TableEncoder(WORDS, noise)
    low, high = sorted((one, other))
    (a,), (b,) = (meter(encoder, margin=m).thresholds.values() for m in (low, high))
    assert a <= b < 1.0
    (usual,) = meter(encoder, margin=0.0).thresholds.values()
    assert a == pytest.approx(usual + low * (1.0 - usual), abs=1e-6)


def test_what_all_sentences_share_does_not_count() -> None:
    def shifted(word: str) -> Tensor:
        return noise(word) + 50.0

    plain = meter(TableEncoder(WORDS, noise))(WORDS[:20])
    moved = meter(TableEncoder(WORDS, shifted))(WORDS[:20])
    for word in WORDS[:20]:
        assert plain[word].score == pytest.approx(moved[word].score, abs=1e-3)


def test_how_many_of_the_vocabulary_belong_to_the_concepts_hardly_matters() -> None:
    def near_gun(word: str) -> Tensor:
        return noise("gun") + 0.3 * noise(word) if word.startswith("arm") else noise(word)

    (without,) = meter(TableEncoder(WORDS, near_gun)).thresholds.values()
    arms = tuple(f"arm{i}" for i in range(20))
    found = meter(TableEncoder((*arms, *WORDS[20:]), near_gun))
    (with_them,) = found.thresholds.values()
    assert with_them == pytest.approx(without, abs=0.12)
    assert all(p.triggered for p in found(arms).values())


def test_any_stream_may_trigger() -> None:
    def hears_blades(word: str) -> Tensor:
        return noise("gun") if word == "blade" else noise(word)

    heard = meter(TableEncoder(WORDS, noise, hears_blades))(["blade", "word5"])
    assert heard["blade"].triggered
    assert heard["blade"].stream == "text_encoder_1"
    assert not heard["word5"].triggered


def test_a_large_vocabulary_is_sampled() -> None:
    encoder = TableEncoder(tuple(f"w{i}" for i in range(3000)), noise)
    meter(encoder)
    assert "a photo of a w999" in encoder.asked
    assert "a photo of a w1000" not in encoder.asked


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_a_vector_that_is_no_number_stops_the_call(broken: float) -> None:
    def overflows(word: str) -> Tensor:
        return noise(word) * (broken if word == "cat" else 1.0)

    found = meter(TableEncoder(WORDS, noise, overflows))
    with pytest.raises(GuardError, match="bfloat16"):
        found(["dog", "cat"])


def test_an_encoder_without_vocabulary_stops_the_call() -> None:
    with pytest.raises(GuardError, match=r"Encoder\.vocabulary"):
        meter(TableEncoder((), noise))


def test_an_encoder_that_hears_no_difference_stops_the_call() -> None:
    with pytest.raises(GuardError, match="the same pooled vector"):
        meter(TableEncoder(WORDS, noise, lambda _: torch.ones(8)))


def test_an_encoder_without_pooled_vectors_stops_the_call() -> None:
    with pytest.raises(GuardError, match=r"Encoder\.pooled"):
        meter(TableEncoder(WORDS))


def test_articles_are_not_doubled() -> None:
    assert in_sentence("gun") == "a photo of a gun"
    assert in_sentence("the gun") == "a photo of the gun"
    assert in_sentence("An axe") == "a photo of An axe"


def test_new_weights_calibrate_anew(pipe: Any) -> None:
    encoder = adapter_for(pipe).encoder()
    before = PresenceMeter(encoder, ["a pistol"], **SETTINGS)(["cat"])["cat"]
    with torch.no_grad():
        for parameter in pipe.text_encoder.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    after = PresenceMeter(encoder, ["a pistol"], **SETTINGS)(["cat"])["cat"]
    assert before.threshold != after.threshold
    assert before.score != after.score


def gate(encoder: TableEncoder, *, spans: int = 3, spelling: bool = True) -> Gate:
    return Gate(meter(encoder, margin=0.5), ["gun"], spans=spans, spelling=spelling)


def test_the_smallest_stretch_that_triggers_is_found() -> None:
    def hears_pairs(word: str) -> Tensor:
        return noise("gun") if "goes bang" in word else noise(word)

    encoder = TableEncoder(WORDS, hears_pairs)
    (found,) = gate(encoder)(["something that goes bang loudly"])
    assert [f.stretch.text for f in found if f.triggered] == ["goes bang"]
    assert [
        f.stretch.text for f in found if f.words == 1
    ] == "something that goes bang loudly".split()
    (missed,) = gate(encoder, spans=1)(["something that goes bang loudly"])
    assert not any(f.triggered for f in missed)


def test_disguises_are_found_whole_and_only_when_asked_for() -> None:
    encoder = TableEncoder((*WORDS, "guns", "cat"), lambda w: noise("gun" if w == "guns" else w))
    prompts = ["a g.u.n.s and a cat", "g u n s", "gu ns", "Gυns", "catguns", "gunss", "cat/dog"]
    shown = ["g.u.n.s", "g u n s", "gu ns", "Gυns", "catguns", "gunss", None]
    for found, expected in zip(gate(encoder)(prompts), shown, strict=True):
        triggered = [f.stretch.text for f in found if f.triggered]
        assert triggered == ([expected] if expected else [])
    for found in gate(encoder, spelling=False)(prompts):
        assert not any(f.triggered for f in found)


@settings(max_examples=25)
@given(st.lists(st.text(max_size=30), max_size=4))
def test_each_prompt_is_judged_as_if_alone(prompts: list[str]) -> None:
    looking = gate(TableEncoder(WORDS, noise))
    for together, prompt in zip(looking(prompts), prompts, strict=True):
        (alone,) = looking([prompt])
        assert [(f.stretch, f.asked) for f in together] == [(f.stretch, f.asked) for f in alone]
        assert [f.presence.score for f in together] == pytest.approx(
            [f.presence.score for f in alone], abs=1e-5
        )
