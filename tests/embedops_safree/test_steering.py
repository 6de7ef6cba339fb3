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

from embedops import Subspace
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
        positions = torch.zeros(count + 4, dtype=torch.bool)
        positions[1 : count + 1] = mask
        assert torch.allclose(merge(tokens, steered, positions), expected.tokens, atol=1e-4)
        attended = slice(0, count + 2)
        z = removed_share(tokens[attended], steered[attended])
        assert z == pytest.approx(expected.z, abs=1e-5)


@given(seed=st.integers(0, 10_000), strength=st.floats(0, 1))
def test_merge_leaves_other_rows_and_interpolates(seed: int, strength: float) -> None:
    tokens, steered = vectors(seed, 8, 16), vectors(seed + 1, 8, 16)
    mask = torch.arange(8) % 3 == 0
    merged = merge(tokens, steered, mask, strength)
    assert torch.equal(merged[~mask], tokens[~mask])
    expected = (1 - strength) * tokens[mask] + strength * steered[mask]
    assert torch.allclose(merged[mask], expected, atol=1e-5)


def test_merge_is_exact_at_the_ends() -> None:
    tokens, steered = vectors(0, 8, 16), vectors(1, 8, 16)
    everywhere = torch.ones(8, dtype=torch.bool)
    assert torch.equal(merge(tokens, steered, everywhere, 0.0), tokens)
    assert torch.equal(merge(tokens, steered, everywhere, 1.0), steered)


def test_removed_share_measures_the_turn() -> None:
    tokens = torch.eye(4)
    assert removed_share(tokens, 3 * tokens) == pytest.approx(0)
    assert removed_share(tokens, tokens.roll(1, 0)) == pytest.approx(1)
    assert removed_share(tokens, torch.zeros(4, 4)) == pytest.approx(1)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_tokens_come_back_as_they_came(dtype: Any) -> None:
    tokens = vectors(0, 5, 32)
    prompt, concepts = Subspace.span(vectors(1, 4, 32)), Subspace.span(vectors(2, 3, 32))
    exact = steer(tokens, prompt, concepts, "released")
    half = steer(tokens.to(dtype), prompt, concepts, "released")
    assert half.dtype == dtype
    assert (half.float() - exact).norm() / exact.norm() < 0.02
