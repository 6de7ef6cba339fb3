from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from embedops import ConfigError, GuardError, Subspace
from embedops_safree.triggers import find_triggers, trigger_mask


def planted(seed: int = 0, count: int = 6, at: int = 2) -> tuple[Tensor, Tensor]:
    """Masked sentence vectors and concepts, token `at` the only one that carries a concept."""
    generator = torch.Generator().manual_seed(seed)
    axes = torch.linalg.qr(torch.randn(32, 32, generator=generator))[0]
    base = 3 * axes[0] + 4 * axes[1]
    masked = base + 0.02 * torch.randn(count, 32, generator=generator)
    masked[at] = 2 * base - 4 * axes[1]
    return masked, axes[1:4] * 5


def random_case(seed: int, count: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shared = torch.randn(48, generator=generator)
    draw = [shared + torch.randn(rows, 48, generator=generator) for rows in (count, 5)]
    return draw[0], draw[1]


@given(seed=st.integers(0, 1000), at=st.integers(0, 5))
def test_the_token_that_carries_the_concept_triggers(seed: int, at: int) -> None:
    masked, concepts = planted(seed, at=at)
    mask = trigger_mask(masked, Subspace.span(concepts), 0.05)
    assert mask.tolist() == [i == at for i in range(6)]


@given(
    seed=st.integers(0, 1000),
    count=st.integers(2, 20),
    order=st.permutations(range(5)),
    scales=st.lists(st.floats(0.1, 10), min_size=5, max_size=5),
)
def test_order_and_length_of_the_concepts_do_not_matter(
    seed: int, count: int, order: list[int], scales: list[float]
) -> None:
    masked, concepts = random_case(seed, count)
    other = concepts[order] * torch.tensor(scales)[:, None]
    a = find_triggers(masked, Subspace.span(concepts), 0.01)
    b = find_triggers(masked, Subspace.span(other), 0.01)
    assert torch.allclose(a.distance, b.distance, rtol=1e-5)
    clear = (a.distance / a.threshold - 1).abs() > 1e-5
    assert torch.equal(a.mask[clear], b.mask[clear])


@given(seed=st.integers(0, 1000), order=st.permutations(range(8)))
def test_the_order_of_the_tokens_does_not_matter(seed: int, order: list[int]) -> None:
    masked, concepts = random_case(seed, 8)
    space = Subspace.span(concepts)
    a, b = find_triggers(masked, space, 0.01), find_triggers(masked[order], space, 0.01)
    clear = (b.distance / b.threshold - 1).abs() > 1e-5
    assert torch.equal(a.mask[order][clear], b.mask[clear])


@given(seed=st.integers(0, 1000), small=st.floats(0, 0.2), more=st.floats(0, 0.2))
def test_more_slack_never_adds_triggers(seed: int, small: float, more: float) -> None:
    masked, concepts = random_case(seed, 8)
    space = Subspace.span(concepts)
    tight, slack = (trigger_mask(masked, space, a) for a in (small, small + more))
    assert not bool((slack & ~tight).any())


def test_equal_tokens_do_not_trigger_with_slack_and_do_without() -> None:
    masked, concepts = random_case(0, 1)
    same, space = masked.repeat(4, 1), Subspace.span(concepts)
    assert not trigger_mask(same, space, 0.01).any()
    assert trigger_mask(same, space, 0.0).all()


def test_one_token_is_held_against_the_unmasked_prompt() -> None:
    masked, concepts = planted()
    space = Subspace.span(concepts)
    clean, carrying = masked[2:3], masked[0]
    assert trigger_mask(clean, space, 0.01, whole=carrying).tolist() == [True]
    assert trigger_mask(masked[:1], space, 0.05, whole=masked[1]).tolist() == [False]
    with pytest.raises(ConfigError, match="pass its sentence vector as `whole`"):
        trigger_mask(clean, space, 0.01)


def test_an_empty_prompt_has_no_triggers() -> None:
    _, concepts = planted()
    assert trigger_mask(torch.zeros(0, 32), Subspace.span(concepts), 0.01).shape == (0,)


def test_windows_are_decided_each_on_its_own() -> None:
    first, concepts = planted(1, at=2)
    second, _ = planted(2, at=4)
    masked = torch.cat([first, 5 * second])
    space = Subspace.span(concepts)
    # `second` has its own axes and scale: in one window it would drown `first`.
    found = find_triggers(masked, space, 0.05, windows=[0] * 6 + [1] * 6)
    assert torch.equal(found.mask[:6], trigger_mask(first, space, 0.05))
    assert torch.equal(found.mask[6:], trigger_mask(5 * second, space, 0.05))
    assert not trigger_mask(masked, space, 0.05)[:6].any()


def test_a_last_window_of_one_token_is_held_against_that_window() -> None:
    masked, concepts = planted()
    space = Subspace.span(concepts)
    asked = torch.cat([masked, masked[2:3]])
    whole = torch.stack([masked[0], masked[1]])
    found = find_triggers(asked, space, 0.05, whole=whole, windows=[0] * 6 + [1])
    assert found.mask.tolist() == [i in (2, 6) for i in range(7)]
    assert found.threshold[6] == pytest.approx(1.05 * float(space.distance(masked[1])))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_not_judged(value: float) -> None:
    masked, concepts = planted()
    masked[3, 5] = value
    with pytest.raises(GuardError, match="NaN or infinite"):
        trigger_mask(masked, Subspace.span(concepts), 0.01)
