from __future__ import annotations

import pytest
import torch
from tensor_memory import watched, weights
from torch import nn

MIB = 2**20


def block(mib: int) -> torch.Tensor:
    return torch.zeros(mib * MIB, dtype=torch.uint8)


def test_the_peak_is_what_was_alive_at_once() -> None:
    before = block(8)
    with watched() as memory:
        first = block(10)
        second = block(20)
        memory.mark()
        del first
        memory.mark()
        third = block(5)
        del before  # was there already: neither peak nor held
    assert memory.marks == [30 * MIB, 20 * MIB]
    assert memory.peak == 30 * MIB
    assert memory.held == second.nbytes + third.nbytes


def test_the_release_of_what_an_earlier_watch_saw_is_not_counted() -> None:
    with watched():
        before = block(8)
    with watched() as memory:
        kept = block(1)
        del before
    assert memory.held == memory.peak == kept.nbytes


def test_what_an_operation_makes_for_itself_counts() -> None:
    square = torch.ones(512, 512)
    with watched() as memory:
        kept = (square + square).sum()
    assert memory.peak >= square.nbytes
    assert memory.held == kept.nbytes


def test_gradients_count() -> None:
    layer = nn.Linear(256, 256, bias=False)
    with watched() as memory:
        layer(torch.ones(1, 256)).sum().backward()
    assert layer.weight.grad is not None
    assert memory.held == layer.weight.grad.nbytes


def test_an_error_ends_the_watch() -> None:
    with pytest.raises(RuntimeError), watched():
        raise RuntimeError
    with watched() as memory:
        kept = block(1)
    assert memory.peak == kept.nbytes


def test_shared_weights_count_once() -> None:
    layer = nn.Linear(4, 4, bias=False)
    assert weights(layer, nn.Sequential(layer), "no network") == 4 * 4 * 4
