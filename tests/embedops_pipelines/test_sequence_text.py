from __future__ import annotations

from typing import Any

import pytest
import torch
from families import pixart
from hypothesis import given
from hypothesis import strategies as st

import embedops
from embedops.streams import Role
from embedops_pipelines.sequence_text import Frame, SequenceText
from embedops_pipelines.text_model import windows_of

IDS = st.lists(st.integers(0, 5), max_size=8)


@given(before=IDS, content=IDS, after=IDS)
def test_a_frame_is_taken_off_and_nothing_else(
    before: list[int], content: list[int], after: list[int]
) -> None:
    frame = Frame(tuple(before), tuple(after))
    ids = [*before, *content, *after]
    assert frame.content(ids) == range(len(before), len(before) + len(content))


@given(before=IDS, after=IDS, ids=IDS)
def test_what_does_not_match_the_frame_is_content(
    before: list[int], after: list[int], ids: list[int]
) -> None:
    own = Frame(tuple(before), tuple(after)).content(ids)
    assert ids[: own.start] == before[: own.start]
    assert ids[own.stop :] == after[len(after) - (len(ids) - own.stop) :]


def test_a_frame_is_what_two_texts_share() -> None:
    assert Frame.between([1, 2, 7, 9], [1, 2, 8, 6, 9]) == Frame((1, 2), (9,))
    assert Frame.between([7], [8, 6]) == Frame()
    assert Frame.between([7, 9], [8, 9]) == Frame((), (9,))


@given(content=st.lists(st.integers(0, 3), min_size=1, max_size=40), size=st.integers(1, 40))
def test_windows_cover_a_text_that_was_cut(content: list[int], size: int) -> None:
    read = content[:size]
    windows = windows_of(content, read, size)
    assert windows[0] == read
    assert all(0 < len(window) <= size for window in windows)
    covered = [i for window in windows for i in window]
    # A text that ends as what is read of it does may be taken for whole.
    assert covered == content or content[-3:] == read[-3:]


def test_a_text_that_disagrees_with_what_is_read_is_examined_again() -> None:
    assert windows_of([1, 2, 3, 4, 5], [9, 2, 3], 2) == [[9, 2, 3], [1, 2], [3, 4], [5]]


@pytest.fixture
def pipe() -> Any:
    return pixart.pixart_sigma()


def text_of(pipe: Any) -> SequenceText:
    return SequenceText(pipe, "text_encoder", "tokenizer")


def test_the_sentence_vector_is_the_mean_of_the_content(pipe: Any) -> None:
    text = text_of(pipe)
    ids = torch.tensor([pipe.tokenizer("a photo of a pistol").input_ids])
    with torch.no_grad():
        states = pipe.text_encoder(ids).last_hidden_state[0]
    assert ids[0, -1] == pipe.tokenizer.eos_token_id
    torch.testing.assert_close(text.pooled(["a photo of a pistol"])[0], states[:-1].mean(0))


def test_sentence_vectors_do_not_depend_on_the_batch(pipe: Any) -> None:
    texts = ["a cat", "a photo of a red pistol on the table", "dog"]
    alone = torch.cat([text_of(pipe).pooled([text]) for text in texts])
    torch.testing.assert_close(text_of(pipe).pooled(texts), alone, atol=1e-5, rtol=1e-5)


def test_a_sentinel_masks_where_the_tokenizer_has_one(pipe: Any) -> None:
    assert pipe.tokenizer.convert_ids_to_tokens(text_of(pipe).neutral_id) == "<extra_id_0>"


def test_each_masked_variant_is_the_text_with_one_token_masked(pipe: Any) -> None:
    encoder = embedops.adapters()["pixart"](pipe).encoder()
    asked = encoder.leave_one_out(encoder.encode(["a red cat"]))["text_encoder"][0]
    ids = pipe.tokenizer("a red cat").input_ids
    for number in range(3):
        masked = list(ids)
        masked[number] = text_of(pipe).neutral_id
        with torch.no_grad():
            states = pipe.text_encoder(torch.tensor([masked])).last_hidden_state[0]
        torch.testing.assert_close(asked.masked[number], states[:-1].mean(0), atol=1e-5, rtol=1e-5)


def test_what_the_model_does_not_read_is_examined_all_the_same(pipe: Any) -> None:
    prompt = " ".join(["cat"] * 400) + " pistol"
    encoder = embedops.adapters()["pixart"](pipe).encoder()
    conditioning = encoder.encode([prompt])
    stream = conditioning.streams[0]
    read = stream.positions(0, Role.CONTENT)
    asked = encoder.leave_one_out(conditioning)["text_encoder"][0]
    assert len(read) < 401
    assert asked.tokens.count("pistol") == 1
    assert asked.positions[: len(read)] == tuple(read)
    assert set(asked.positions[len(read) :]) == {None}
    assert len(asked.tokens) == 401
    assert asked.whole.shape[0] == asked.window[-1] + 1 > 1


def test_states_that_are_not_what_the_denoiser_reads_are_refused(pipe: Any) -> None:
    text = text_of(pipe)
    with text.record() as calls, torch.no_grad():
        pipe.text_encoder(torch.tensor([pipe.tokenizer("a cat").input_ids]))
    from embedops_pipelines.text_model import Row

    row = Row(calls[0], 0)
    assert text.stream([row], row.states[None]).positions(0, Role.CONTENT) == [0, 1]
    shifted = torch.cat([torch.zeros(1, 2, row.states.shape[1]), row.states[None]], dim=1)
    assert text.stream([row], shifted).positions(0, Role.CONTENT) == [2, 3]
    with pytest.raises(embedops.GuardError, match="adapter needs an update"):
        text.stream([row], row.states[None] + 1)
