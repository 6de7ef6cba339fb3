from __future__ import annotations

import dataclasses

import pytest
import torch

from embedops import Conditioning, ConfigError, Role, TextStream, UnknownNameError


def stream(rows: int = 3, *, pooled: bool = True) -> TextStream:
    return TextStream(
        name="text_encoder",
        embeds=torch.arange(rows * 5 * 2, dtype=torch.float32).view(rows, 5, 2),
        roles=torch.tensor([[0, 1, 1, 2, 3]] * rows, dtype=torch.int8),
        tokens=tuple(("<s>", "a", f"cat{r}", "</s>", "</s>") for r in range(rows)),
        pooled=torch.ones(rows, 4) if pooled else None,
    )


def test_positions_by_role() -> None:
    one = stream()
    assert one.positions(1, Role.CONTENT) == [1, 2]
    assert one.positions(1, Role.END, Role.PAD) == [3, 4]
    assert one.content.tolist() == [[False, True, True, False, False]] * 3


def test_without_a_mask_every_position_is_read() -> None:
    one = stream()
    mask = torch.tensor([[1, 1, 1, 1, 0]] * 3)
    assert torch.equal(one.mask_or_ones, torch.ones(3, 5))
    assert dataclasses.replace(one, mask=mask).mask_or_ones is mask


def test_replacing_leaves_the_original_alone() -> None:
    one = stream()
    before = one.embeds.clone()
    new = one.replace(embeds=torch.zeros(3, 5, 2, dtype=torch.float64))
    assert torch.equal(one.embeds, before)
    assert not new.embeds.any()
    assert new.embeds.dtype == torch.float32
    assert new.pooled is one.pooled


def test_replacing_with_another_shape_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"from \(3, 5, 2\) to \(3, 4, 2\)"):
        stream().replace(embeds=torch.zeros(3, 4, 2))
    with pytest.raises(ConfigError, match="pooled from None"):
        stream(pooled=False).replace(pooled=torch.zeros(3, 4))


def test_selecting_keeps_rows_together() -> None:
    base = Conditioning(("p0", "p1", "p2"), (stream(),))
    picked = base.avoiding(base).select([2, 0])
    assert picked.prompts == ("p2", "p0")
    assert torch.equal(picked.streams[0].embeds, base.streams[0].embeds[[2, 0]])
    assert picked.streams[0].tokens[0][2] == "cat2"
    assert picked.negative is not None
    assert picked.negative.prompts == ("p2", "p0")


def test_mismatched_rows_are_refused() -> None:
    with pytest.raises(ConfigError, match="3 rows for 2 prompts"):
        Conditioning(("a", "b"), (stream(),))
    good = Conditioning(("a", "b", "c"), (stream(),))
    with pytest.raises(ConfigError, match="as many negative rows, got 2"):
        good.avoiding(good.select([0, 1]))


def test_unknown_streams_name_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'text_encoder'"):
        Conditioning(("a", "b", "c"), (stream(),)).stream("text_encoder_2")


def test_broken_rows_are_found_in_every_part() -> None:
    one = stream()
    embeds = one.embeds.clone()
    embeds[1, 0, 0] = float("nan")
    pooled = torch.ones(3, 4)
    pooled[2, 0] = float("inf")
    broken = Conditioning(("a", "b", "c"), (one.replace(embeds=embeds, pooled=pooled),))
    assert broken.finite_rows() == [True, False, False]
