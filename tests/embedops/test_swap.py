from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from embedops import Conditioning, Edit, GuardError, Schedule, TextStream, Trace, Window
from embedops.families import Bundle, Side
from embedops.swap import Shape, Swap

DIM = 2


def conditioning(*values: float, seq: int = 3) -> Conditioning:
    rows = torch.tensor(values).view(-1, 1, 1).expand(-1, seq, DIM)
    stream = TextStream(
        "text_encoder",
        rows.clone(),
        torch.ones(len(values), seq, dtype=torch.int8),
        (("w",) * seq,) * len(values),
        mask=torch.ones(len(values), seq, dtype=torch.bool),
    )
    return Conditioning(tuple(map(str, values)), (stream,))


def swap(
    given: Conditioning,
    instead: Conditioning,
    *,
    mask: bool = False,
    repeat: int = 1,
    order: tuple[Side, Side] = ("negative", "positive"),
    batch_dim: int = 0,
    listed: bool = False,
) -> Swap:
    """A swap in which every row reads `instead` throughout."""
    rows = len(given)
    schedule = Schedule.plain(given).then(
        lambda _: Edit(instead, (Window(),) * rows, (Trace("t", True, Window()),) * rows), 0
    )

    def bundle(version: int, side: Side) -> Bundle | None:
        whole = schedule.readings[version].conditioning
        chosen = whole if side == "positive" else whole.negative
        if chosen is None:
            return None
        stream = chosen.streams[0]
        embeds: Any = stream.embeds.movedim(0, batch_dim)
        found: Bundle = {"text": list(stream.embeds) if listed else embeds}
        if mask and stream.mask is not None:
            found["text_mask"] = stream.mask
        return found

    dims = {"text": batch_dim} if batch_dim else {}
    return Swap(schedule, bundle, Shape(order, dims, lambda _: repeat))


def embeds(given: Conditioning) -> Tensor:
    return given.streams[0].embeds


def replaced(swapped: Swap, inputs: dict[str, object]) -> Any:
    changed, _ = swapped.replace(inputs, swapped.pattern(0, 1))
    return changed


def test_guidance_in_one_batch_changes_the_positive_block() -> None:
    given, instead = conditioning(1, 2), conditioning(5, 6)
    batch = torch.cat([embeds(conditioning(8, 9)), embeds(given)])
    changed = replaced(swap(given, instead), {"text": batch})["text"]
    assert torch.equal(changed, torch.cat([batch[:2], embeds(instead)]))
    assert torch.equal(batch[2:], embeds(given))  # what the pipeline holds is not edited in place


def test_the_other_order() -> None:
    given, instead = conditioning(1, 2), conditioning(5, 6)
    batch = torch.cat([embeds(given), embeds(conditioning(8, 9))])
    changed = replaced(swap(given, instead, order=("positive", "negative")), {"text": batch})
    assert torch.equal(changed["text"], torch.cat([embeds(instead), batch[2:]]))


def test_calls_of_their_own_are_told_apart_by_what_they_read() -> None:
    negative = conditioning(8, 9)
    given, instead = conditioning(1, 2).avoiding(negative), conditioning(5, 6).avoiding(negative)
    swapped = swap(given, instead)
    assert swapped.layout({"text": embeds(given)}) == ("positive",)
    assert swapped.layout({"text": embeds(negative)}) == ("negative",)
    assert torch.equal(replaced(swapped, {"text": embeds(negative)})["text"], embeds(negative))


def test_sides_that_say_the_same_are_told_apart_by_their_order() -> None:
    given = conditioning(1, 2).avoiding(conditioning(1, 2))
    swapped = swap(given, conditioning(5, 6).avoiding(given.negative))
    first, second = embeds(given).clone(), embeds(given).clone()
    for _ in range(3):
        assert swapped.layout({"text": first}) == ("positive",)
        assert swapped.layout({"text": second}) == ("negative",)


def test_rows_of_several_images_and_another_batch_dimension() -> None:
    given, instead = conditioning(1, 2), conditioning(5, 6)
    incoming = embeds(given).repeat_interleave(3, 0).movedim(0, 1)
    changed = replaced(swap(given, instead, repeat=3, batch_dim=1), {"text": incoming})["text"]
    assert torch.equal(changed, embeds(instead).repeat_interleave(3, 0).movedim(0, 1))


def test_lists_of_a_tensor_a_prompt() -> None:
    given, instead = conditioning(1, 2), conditioning(5, 6, seq=4)
    incoming = [*embeds(given), *embeds(conditioning(8, 9))]
    changed = replaced(
        swap(given, instead, listed=True, order=("positive", "negative")), {"text": incoming}
    )["text"]
    assert [tuple(t.shape) for t in changed] == [(4, DIM), (4, DIM), (3, DIM), (3, DIM)]
    assert torch.equal(torch.stack(changed[:2]), embeds(instead))
    assert len(incoming) == 4
    assert tuple(incoming[0].shape) == (3, DIM)


@pytest.mark.parametrize("seq", [2, 5])
def test_a_mask_lets_a_text_of_another_length_in(seq: int) -> None:
    given, instead = conditioning(1), conditioning(5, seq=seq)
    inputs: dict[str, object] = {"text": embeds(given), "text_mask": given.streams[0].mask}
    changed, longer = swap(given, instead, mask=True).replace(inputs, (1,))
    length = max(3, seq)
    assert changed["text"].shape == (1, length, DIM)  # type: ignore[attr-defined]
    assert changed["text_mask"].sum() == seq  # type: ignore[attr-defined]
    assert longer == (5 if seq == 5 else None)


@pytest.mark.parametrize("seq", [2, 5])
def test_without_a_mask_a_text_of_another_length_stands_alone(seq: int) -> None:
    given, instead = conditioning(1, 2), conditioning(5, 6, seq=seq)
    inputs: dict[str, object] = {"text": embeds(given)}
    changed, length = swap(given, instead).replace(inputs, (1, 1))
    assert torch.equal(changed["text"], embeds(instead))  # type: ignore[arg-type]
    assert length == seq
    with pytest.raises(GuardError, match="no mask"):
        swap(given, instead).replace(inputs, (1, 0))


def test_what_was_not_examined_is_refused() -> None:
    given, instead = conditioning(1, 2), conditioning(5, 6)
    for batch, said in (
        (embeds(given) + 1, "never examined"),
        (embeds(conditioning(1, 2, 3)), "3"),
        (torch.cat([embeds(given)] * 3), "6"),
    ):
        with pytest.raises(GuardError, match=said):
            swap(given, instead).layout({"text": batch})
    with pytest.raises(GuardError, match="adapter needs an update"):
        swap(given, instead).layout({"other": embeds(given)})


def test_what_was_assembled_is_looked_up_again() -> None:
    given, instead = conditioning(1, 2), conditioning(5, 6)
    swapped, batch = swap(given, instead), torch.cat([embeds(conditioning(8, 9)), embeds(given)])
    first = replaced(swapped, {"text": batch})["text"]
    assert replaced(swapped, {"text": batch})["text"] is first
