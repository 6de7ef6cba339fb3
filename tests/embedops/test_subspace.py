from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from embedops import ConfigError, Subspace

shapes = st.tuples(st.integers(1, 12), st.integers(2, 24), st.integers(0, 10_000))


def vectors(count: int, dim: int, seed: int) -> torch.Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=60, deadline=None)
@given(shapes)
def test_the_basis_is_orthonormal_and_spans_the_vectors(shape: tuple[int, int, int]) -> None:
    x = vectors(*shape)
    space = Subspace.span(x)
    assert space.rank == min(x.shape)
    torch.testing.assert_close(space.basis @ space.basis.T, torch.eye(space.rank))
    torch.testing.assert_close(space.project(x), x, atol=1e-4, rtol=1e-4)
    assert space.distance(x).max() < 1e-4


@settings(max_examples=60, deadline=None)
@given(shapes, st.integers(0, 10_000))
def test_project_and_reject_split_a_vector(shape: tuple[int, int, int], seed: int) -> None:
    space = Subspace.span(vectors(*shape))
    x = vectors(5, shape[1], seed)
    inside, outside = space.project(x), space.reject(x)
    torch.testing.assert_close(inside + outside, x)
    torch.testing.assert_close(space.project(inside), inside, atol=1e-5, rtol=1e-5)
    assert (space.basis @ outside.T).abs().max() < 1e-5
    torch.testing.assert_close(space.distance(x), outside.norm(dim=-1))


def test_the_projector_is_that_of_the_pseudo_inverse() -> None:
    c = vectors(4, 32, 1).double()
    projector = c.T @ torch.linalg.pinv(c @ c.T) @ c
    x = vectors(7, 32, 2)
    expected = (x.double() @ projector).float()
    torch.testing.assert_close(Subspace.span(c).project(x), expected, atol=1e-5, rtol=1e-5)


def test_rank_is_revealed_where_vectors_depend_on_each_other() -> None:
    base = vectors(3, 40, 3)
    mixed = torch.cat([base, base * 7.0, base.sum(0, keepdim=True)])
    assert Subspace.span(mixed).rank == 3
    tall = vectors(3, 40, 4).T @ vectors(3, 3, 5)  # 40 rows of width 3
    assert Subspace.span(torch.cat([tall, tall])).rank == 3


def with_singular_values(values: torch.Tensor, dim: int, seed: int) -> torch.Tensor:
    left = torch.linalg.qr(vectors(len(values), len(values), seed).double())[0]
    right = torch.linalg.qr(vectors(dim, len(values), seed + 1).double())[0]
    return left @ torch.diag(values) @ right.T


@pytest.mark.parametrize("seed", range(8))  # a pivot that should be 0 is rounding, of any sign
@pytest.mark.parametrize("scale", [1e-18, 1.0, 1e18])
def test_rank_does_not_depend_on_the_unit(scale: float, seed: int) -> None:
    base = vectors(3, 40, seed)
    repeated = base[[0, 1, 2, 2, 1]]
    assert Subspace.span(scale * base).rank == 3
    space = Subspace.span(scale * repeated.double())
    assert space.rank == 3
    torch.testing.assert_close(space.project(base), base, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("count", [2, 20])
@pytest.mark.parametrize("decades", [0, 1, 2, 3, 3.9, 4, 5, 5.5, 7, 9])
def test_the_basis_is_orthonormal_however_ill_conditioned_the_rows(
    count: int, decades: float
) -> None:
    values = torch.logspace(0, -decades, count, dtype=torch.float64)
    rows = with_singular_values(values, 60, int(10 * decades))
    space = Subspace.span(rows)
    basis = space.basis.double()
    assert space.rank == int((values > 1e-6).sum())
    identity = torch.eye(space.rank, dtype=torch.float64)
    torch.testing.assert_close(basis @ basis.T, identity, atol=5e-7, rtol=0)
    exact = torch.linalg.svd(rows, full_matrices=False).Vh[: space.rank]
    torch.testing.assert_close(basis.T @ basis, exact.T @ exact, atol=5e-7, rtol=0)


def test_rows_whose_cholesky_factor_looks_harmless_are_told_apart_from_independent_ones() -> None:
    # Kahan's matrix: its diagonal says a condition of 1e2, its singular values say 1e7.
    count, sine = 26, 0.84
    cosine = math.sqrt(1 - sine**2)
    scale = torch.diag(sine ** torch.arange(count, dtype=torch.float64))
    upper = torch.ones(count, count, dtype=torch.float64).triu(1)
    kahan = scale @ (torch.eye(count, dtype=torch.float64) - cosine * upper)
    values = torch.linalg.svdvals(kahan)
    assert kahan.diagonal().max() / kahan.diagonal().min() < 1e2
    assert values[-2] / values[0] > 1e-3
    assert values[-1] / values[0] < 5e-7
    rows = torch.cat([kahan.T, torch.zeros(count, 8, dtype=torch.float64)], dim=1)
    space = Subspace.span(rows)
    assert space.rank == count - 1
    basis = space.basis.double()
    identity = torch.eye(count - 1, dtype=torch.float64)
    torch.testing.assert_close(basis @ basis.T, identity, atol=5e-7, rtol=0)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([(24,), (3, 24), (2, 3, 24), (2, 0, 24)]))
def test_any_leading_shape_is_kept(seed: int, shape: tuple[int, ...]) -> None:
    space = Subspace.span(vectors(4, 24, seed))
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed + 1))
    rows = x.reshape(-1, 24)
    for got, each in (
        (space.project(x), [space.project(row) for row in rows]),
        (space.reject(x), [space.reject(row) for row in rows]),
    ):
        assert got.shape == shape
        expected = torch.stack(each).reshape(shape) if each else torch.empty(shape)
        torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)
    assert space.distance(x).shape == shape[:-1]
    torch.testing.assert_close(space.distance(x), space.reject(x).norm(dim=-1))


def test_a_small_distance_beside_a_long_vector_is_not_lost() -> None:
    # ‖x‖² − ‖x P‖² would be all rounding here: 1e6² against 1.
    space = Subspace.span(torch.eye(8)[:3])
    x = 1e6 * torch.eye(8)[:1] + torch.eye(8)[5:6]
    torch.testing.assert_close(space.distance(x), torch.ones(1))


def test_matched_brings_the_basis_to_the_vectors() -> None:
    space = Subspace.span(vectors(3, 16, 0))
    for dtype, expected in (
        (torch.float16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ):
        x, basis = space.matched(vectors(2, 16, 1).to(dtype))
        assert x.dtype == basis.dtype == expected
        assert torch.equal(basis.float(), space.basis)


def test_a_limited_rank_keeps_the_dominant_directions() -> None:
    x = torch.diag(torch.tensor([5.0, 3.0, 0.1]))
    space = Subspace.span(x, rank=2)
    assert space.rank == 2
    torch.testing.assert_close(space.distance(torch.eye(3)), torch.tensor([0.0, 0.0, 1.0]))


def test_nothing_spans_the_zero_subspace() -> None:
    for empty in (torch.zeros(0, 6), torch.zeros(3, 6)):
        space = Subspace.span(empty)
        assert space.rank == 0
        x = vectors(2, 6, 0)
        assert torch.equal(space.reject(x), x)
        assert not space.project(x).any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    x, c = vectors(6, 64, 1).to(dtype), vectors(3, 64, 2).to(dtype)
    space = Subspace.span(c)
    assert space.basis.dtype == torch.float32
    assert space.reject(x).dtype == dtype
    exact = Subspace.span(c.double()).distance(x.double())
    torch.testing.assert_close(space.distance(x), exact.float(), rtol=1e-5, atol=1e-5)


def test_union_holds_both_and_is_no_larger_than_needed() -> None:
    a, b = Subspace.span(torch.eye(6)[:2]), Subspace.span(torch.eye(6)[1:4])
    both = a.union(b)
    assert both.rank == 4
    assert both.distance(torch.eye(6)[:4]).max() < 1e-6


@settings(max_examples=30, deadline=None)
@given(st.floats(1e-4, math.pi / 2))
def test_principal_angles_are_exact_also_where_small(angle: float) -> None:
    a = Subspace.span(torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]]))
    turned = torch.tensor([[math.cos(angle), 0.0, math.sin(angle), 0.0], [0.0, 1.0, 0.0, 0.0]])
    angles = a.principal_angles(Subspace.span(turned))
    torch.testing.assert_close(angles, torch.tensor([0.0, angle]), atol=2e-6, rtol=1e-4)


def test_errors_say_what_to_do() -> None:
    with pytest.raises(ConfigError, match="width 5, this subspace has width 6"):
        Subspace.span(torch.eye(6)[:1]).project(torch.zeros(2, 5))
    for value in (float("nan"), float("inf"), float("-inf")):
        for count in (1, 3, 9):  # fewer rows than columns, and more
            rows = vectors(count, 6, 0)
            rows[-1, 2] = value
            with pytest.raises(ConfigError, match="NaN or infinity"):
                Subspace.span(rows)
    with pytest.raises(ConfigError, match=r"got shape \(3,\)"):
        Subspace.span(torch.ones(3))
    with pytest.raises(ConfigError, match="rank must be at least 1"):
        Subspace.span(torch.eye(2), rank=0)
