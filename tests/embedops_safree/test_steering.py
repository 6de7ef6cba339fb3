from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from embedops import ConfigError, Subspace
from embedops_safree.steering import merge, removed_share, steer
from embedops_safree.triggers import trigger_mask

SIZES = {
    "seed": st.integers(0, 10_000),
    "dim": st.integers(24, 96),
    "count": st.integers(2, 12),
    "concepts": st.integers(1, 8),
}


def vectors(seed: int, rows: int, dim: int) -> Tensor:
    """Rows around one shared direction, as sentence vectors are."""
    generator = torch.Generator().manual_seed(seed)
    shared = torch.randn(dim, generator=generator)
    return shared + 0.5 * torch.randn(rows, dim, generator=generator)


def literal() -> ModuleType:
    """The published formulas that the benchmark runs."""
    path = Path(__file__).parents[2] / "benchmarks" / "published_safree.py"
    spec = importlib.util.spec_from_file_location("published_safree", path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@given(**SIZES)
def test_released_order_is_orthogonal_to_every_concept(
    seed: int, dim: int, count: int, concepts: int
) -> None:
    phrases = vectors(seed, concepts, dim)
    prompt = Subspace.span(vectors(seed + 1, count, dim))
    tokens = vectors(seed + 2, 9, dim)
    steered = steer(tokens, prompt, Subspace.span(phrases), "released")
    cosine = steered @ phrases.T / (tokens.norm(dim=-1)[:, None] * phrases.norm(dim=-1))
    assert cosine.abs().max() < 1e-5


@given(**SIZES)
def test_paper_order_stays_in_the_span_of_the_prompt(
    seed: int, dim: int, count: int, concepts: int
) -> None:
    prompt = Subspace.span(vectors(seed, count, dim))
    tokens = vectors(seed + 2, 9, dim)
    steered = steer(tokens, prompt, Subspace.span(vectors(seed + 1, concepts, dim)), "paper")
    assert (prompt.distance(steered) / tokens.norm(dim=-1)).max() < 1e-5


@given(**SIZES)
def test_steering_is_the_two_projections_one_after_the_other(
    seed: int, dim: int, count: int, concepts: int
) -> None:
    prompt = Subspace.span(vectors(seed, count, dim))
    space = Subspace.span(vectors(seed + 1, concepts, dim))
    tokens = vectors(seed + 2, 9, dim)
    in_turn = {
        "released": space.reject(prompt.project(tokens)),
        "paper": prompt.project(space.reject(tokens)),
    }
    released, paper = (steer(tokens, prompt, space, order) for order in ("released", "paper"))
    assert torch.allclose(released, in_turn["released"], atol=1e-5)
    assert torch.allclose(paper, in_turn["paper"], atol=1e-5)


def test_tokens_of_another_encoder_are_refused() -> None:
    prompt, concepts = Subspace.span(vectors(0, 4, 32)), Subspace.span(vectors(1, 3, 32))
    with pytest.raises(ConfigError, match="width 24, this subspace has width 32"):
        steer(vectors(2, 5, 24), prompt, concepts, "released")
    with pytest.raises(ConfigError, match="width 32, this subspace has width 24"):
        steer(vectors(2, 5, 32), prompt, Subspace.span(vectors(1, 3, 24)), "released")


@given(seed=st.integers(0, 10_000))
def test_steering_twice_is_steering_once_where_the_spaces_are_orthogonal(seed: int) -> None:
    axes = torch.linalg.qr(torch.randn(40, 40, generator=torch.Generator().manual_seed(seed)))[0]
    prompt, concepts = Subspace(axes[:6]), Subspace(axes[6:10])
    tokens = vectors(seed, 5, 40)
    released, paper = (steer(tokens, prompt, concepts, order) for order in ("released", "paper"))
    assert torch.allclose(released, paper, atol=1e-5)
    assert torch.allclose(released, prompt.project(tokens), atol=1e-5)
    assert torch.allclose(steer(released, prompt, concepts, "released"), released, atol=1e-5)


@settings(max_examples=25)
@given(**SIZES)
def test_the_literal_formulas_agree(seed: int, dim: int, count: int, concepts: int) -> None:
    published = literal()
    # In float64, where the literal pseudo-inverse is exact enough to compare with.
    tokens, masked, phrases = (
        vectors(seed + i, rows, dim).double() for i, rows in enumerate((count + 4, count, concepts))
    )
    space, prompt = Subspace.span(phrases), Subspace.span(masked)
    for order in ("released", "paper"):
        expected = published.steer_prompt(tokens, masked, phrases, 0.01, order)
        mask = trigger_mask(masked, space, 0.01)
        assert torch.equal(mask, expected.mask)
        steered = steer(tokens, prompt, space, order)
        at = 1 + mask.nonzero()[:, 0]
        assert torch.allclose(merge(tokens, steered[at], at), expected.tokens, atol=1e-4)
        attended = slice(0, count + 2)
        z = removed_share(tokens[attended], steered[attended])
        assert z == pytest.approx(expected.z, abs=1e-5)


@given(seed=st.integers(0, 10_000), strength=st.floats(0, 1))
def test_merge_leaves_other_rows_and_interpolates(seed: int, strength: float) -> None:
    tokens, steered = vectors(seed, 8, 16), vectors(seed + 1, 8, 16)
    at, others = torch.tensor([0, 3, 6]), [1, 2, 4, 5, 7]
    before = tokens.clone()
    merged = merge(tokens, steered[at], at, strength)
    assert torch.equal(tokens, before)
    assert torch.equal(merged[others], tokens[others])
    expected = (1 - strength) * tokens[at] + strength * steered[at]
    assert torch.allclose(merged[at], expected, atol=1e-5)


def test_merge_is_exact_at_the_ends() -> None:
    tokens, steered = vectors(0, 8, 16), vectors(1, 8, 16)
    everywhere = torch.arange(8)
    assert torch.equal(merge(tokens, steered, everywhere, 0.0), tokens)
    assert torch.equal(merge(tokens, steered, everywhere, 1.0), steered)


def test_nothing_to_merge_changes_no_bit() -> None:
    tokens = vectors(0, 8, 16)
    nowhere = torch.empty(0, dtype=torch.long)
    for strength in (0.5, 1.0):
        assert torch.equal(merge(tokens, tokens[:0], nowhere, strength), tokens)


def test_merge_interpolates_half_precision_in_float32() -> None:
    tokens, steered = vectors(0, 8, 16).half(), vectors(1, 2, 16)
    at = torch.tensor([2, 5])
    merged = merge(tokens, steered, at, 0.3)
    assert merged.dtype == torch.float16
    expected = torch.lerp(tokens[at].float(), steered, 0.3).half()
    assert torch.equal(merged[at], expected)


def test_removed_share_measures_the_turn() -> None:
    tokens = torch.eye(4)
    assert removed_share(tokens, 3 * tokens) == pytest.approx(0)
    assert removed_share(tokens, tokens.roll(1, 0)) == pytest.approx(1)
    assert removed_share(tokens, torch.zeros(4, 4)) == pytest.approx(1)
    assert removed_share(tokens, -tokens) == pytest.approx(2)


@given(seed=st.integers(0, 10_000), scale=st.floats(1e-3, 1e3))
def test_removed_share_is_one_minus_the_mean_cosine(seed: int, scale: float) -> None:
    tokens, steered = vectors(seed, 6, 24), scale * vectors(seed + 1, 6, 24)
    cosines = torch.cosine_similarity(tokens, steered, dim=-1)
    assert removed_share(tokens, steered) == pytest.approx(1 - float(cosines.mean()), abs=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_tokens_come_back_as_they_came(dtype: Any) -> None:
    tokens = vectors(0, 5, 32)
    prompt, concepts = Subspace.span(vectors(1, 4, 32)), Subspace.span(vectors(2, 3, 32))
    exact = steer(tokens, prompt, concepts, "released")
    half = steer(tokens.to(dtype), prompt, concepts, "released")
    assert half.dtype == dtype
    assert (half.float() - exact).norm() / exact.norm() < 0.02
