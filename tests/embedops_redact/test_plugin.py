from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Draw
from torch import Tensor

import embedops
from embedops import (
    Conditioning,
    ConfigError,
    Edit,
    GuardError,
    LeaveOneOut,
    Role,
    UnknownNameError,
    Window,
)
from embedops.families import adapter_for
from embedops_redact import Redact, RedactConfig

PHRASES = ("a pistol", "a knife")
PROMPTS = ["a photo of a pistol on the table", "a cat on the beach", "a red dog holding a knife"]
READ = ["a photo of a thing on the table", "a cat on the beach", "a red dog holding a thing"]


def redact(**settings: Any) -> Redact:
    # Random weights put everything near everything: the margin leaves the phrases' own words.
    return Redact(
        RedactConfig(**{"phrases": PHRASES, "margin": 0.9, "neutral": "thing", **settings})
    )


def encoder_of(pipe: Any) -> Any:
    return adapter_for(pipe).encoder()


def edit_of(pipe: Any, prompts: Sequence[str], **settings: Any) -> Edit:
    encoder = encoder_of(pipe)
    return redact(**settings).edit(encoder.encode(prompts), encoder)


def embeds(conditioning: Conditioning) -> Tensor:
    return conditioning.streams[0].embeds


def test_every_row_of_a_flagged_prompt_is_what_the_rewritten_prompt_says(pipe: Any) -> None:
    edit = edit_of(pipe, PROMPTS)
    expected = encoder_of(pipe).encode(READ)
    assert edit.conditioning.prompts == tuple(READ)
    assert edit.windows == (Window(), None, Window())
    torch.testing.assert_close(embeds(edit.conditioning), embeds(expected))
    assert edit.conditioning.streams[0].tokens == expected.streams[0].tokens
    pooled, wanted = edit.conditioning.streams[0].pooled, expected.streams[0].pooled
    torch.testing.assert_close(pooled, wanted)


def test_untouched_rows_are_the_same_bits(pipe: Any) -> None:
    given = encoder_of(pipe).encode(PROMPTS)
    edit = redact().edit(given, encoder_of(pipe))
    assert torch.equal(embeds(edit.conditioning)[1], embeds(given)[1])
    harmless = given.select([1])
    assert redact().edit(harmless, encoder_of(pipe)).conditioning is harmless


def test_the_conditioning_given_is_not_changed(pipe: Any) -> None:
    given = encoder_of(pipe).encode(PROMPTS)
    before = embeds(given).clone()
    redact(strength=0.5).edit(given, encoder_of(pipe))
    assert torch.equal(embeds(given), before)
    assert given.prompts == tuple(PROMPTS)


def test_a_batch_is_its_prompts_one_by_one(pipe: Any) -> None:
    together = edit_of(pipe, PROMPTS)
    for row, prompt in enumerate(PROMPTS):
        alone = edit_of(pipe, [prompt])
        assert alone.windows[0] == together.windows[row]
        one, other = alone.traces[0], together.traces[row]
        assert (one.text, one.flagged, one.notes) == (other.text, other.flagged, other.notes)
        torch.testing.assert_close(
            embeds(alone.conditioning)[0], embeds(together.conditioning)[row]
        )


@pytest.mark.parametrize("strength", [0.25, 0.5])
def test_strength_mixes_the_two_encodings(pipe: Any, strength: float) -> None:
    encoder = encoder_of(pipe)
    mixed = embeds(edit_of(pipe, PROMPTS, strength=strength).conditioning)
    old, new = embeds(encoder.encode(PROMPTS)), embeds(encoder.encode(READ))
    torch.testing.assert_close(mixed, old + strength * (new - old))


@pytest.mark.parametrize("settings", [{"strength": 0.0}, {"phrases": []}, {"phrases": ()}])
def test_strength_0_and_no_concepts_draw_what_no_plugin_draws(
    pipe: Any, draw: Draw, settings: dict[str, Any]
) -> None:
    plain = draw(pipe, PROMPTS)
    with embedops.attach(pipe, redact(**settings)) as session:
        assert np.array_equal(draw(pipe, PROMPTS), plain)
        assert session.report.steps == ((), (), ())
    assert np.array_equal(draw(pipe, PROMPTS), plain)


def test_strength_0_still_reports(pipe: Any) -> None:
    verdicts = embedops.screen(pipe, PROMPTS, redact(strength=0))
    assert [v.flagged for v in verdicts] == [True, False, True]
    assert "strength is 0" in verdicts[0].traces[0].notes[0]
    assert [v.flagged for v in embedops.screen(pipe, PROMPTS, redact(phrases=[]))] == [False] * 3


def test_the_pipeline_draws_the_rewritten_prompts(pipe: Any, draw: Draw) -> None:
    plain, expected = draw(pipe, PROMPTS), draw(pipe, READ)
    with embedops.attach(pipe, redact()) as session:
        drawn = draw(pipe, PROMPTS)
        assert session.report.steps == ((0, 1, 2, 3), (), (0, 1, 2, 3))
    np.testing.assert_allclose(drawn, expected, atol=1e-4)
    assert np.array_equal(drawn[1], plain[1])
    assert not np.array_equal(drawn[0], plain[0])
    assert np.array_equal(draw(pipe, PROMPTS), plain)


def test_the_negative_prompt_stays_and_several_images_follow(pipe: Any, draw: Draw) -> None:
    settings: dict[str, Any] = {
        "negative_prompt": ["snow", "a tree", ""],
        "num_images_per_prompt": 2,
    }
    expected = draw(pipe, READ, **settings)
    with embedops.attach(pipe, redact()):
        drawn = draw(pipe, PROMPTS, **settings)
    np.testing.assert_allclose(drawn, expected, atol=1e-4)


def test_a_window_holds_for_part_of_the_schedule(pipe: Any, draw: Draw) -> None:
    with embedops.attach(pipe, redact(start=0.25, stop=0.75)) as session:
        draw(pipe, PROMPTS)
        assert session.report.steps == ((1, 2), (), (1, 2))


@pytest.mark.parametrize("before", [80, 2000])
def test_words_beyond_what_the_model_reads_are_examined(pipe: Any, before: int) -> None:
    prompt = " ".join(["a"] * before + ["pistol"])
    (verdict,) = embedops.screen(pipe, prompt, redact())
    assert verdict.flagged
    (found,) = [t for t in verdict.traces[0].tokens if t.triggered]
    assert found.text == "pistol"
    assert found.position is None


def test_the_trace_says_what_was_judged(pipe: Any) -> None:
    (verdict,) = embedops.screen(pipe, "A photo, of a Pistol", redact())
    trace = verdict.traces[0]
    assert [t.text for t in trace.tokens] == ["A", "photo", "of", "a", "Pistol"]
    assert [t.position for t in trace.tokens] == [1, 2, 4, 5, 6]  # the comma is a token too
    assert [t.triggered for t in trace.tokens] == [False] * 4 + [True]
    assert trace.text == "A photo, of a thing"
    assert trace.tokens[-1].score == pytest.approx(1.0, abs=1e-4)
    assert trace.tokens[-1].threshold == trace.values["threshold"] < 1.0


@pytest.mark.parametrize(
    "prompt",
    ["a PISTOL", "a pis tol", "p.i.s.t.o.l", "a p i s t o l", "pistolcat", "pіstоl", "a pisttol"],
)
def test_disguises_are_replaced_whole(pipe: Any, prompt: str) -> None:
    (edit,) = edit_of(pipe, [prompt]).traces
    assert edit.text is not None
    assert edit.text.endswith("thing")
    assert not {"tol", "pis"} & set(edit.text.casefold().split())


def test_a_learned_placeholder_is_examined_as_the_token_that_it_is(pipe: Any) -> None:
    pipe.tokenizer.add_tokens("<s1>")
    table = pipe.text_encoder.resize_token_embeddings(len(pipe.tokenizer)).weight
    ids = pipe.tokenizer.convert_tokens_to_ids(["pistol</w>", "<s1>"])
    with torch.no_grad():
        table[ids[1]] = table[ids[0]]
    (trace,) = edit_of(pipe, ["a red <s1>, on the beach"]).traces
    assert trace.text == "a red thing, on the beach"


def test_concepts_may_be_presets_or_phrases(pipe: Any) -> None:
    for plugin in (
        redact(phrases="a pistol"),
        redact(phrases=None, concepts="weapons"),
        redact(phrases=None, concepts=["weapons", "violence"]),
    ):
        (verdict,) = embedops.screen(pipe, "a pistol", plugin)
        assert verdict.flagged


def test_another_plugin_sees_the_rewritten_prompts(pipe: Any) -> None:
    encoder = encoder_of(pipe)
    first = redact().edit(encoder.encode(PROMPTS), encoder)
    second = redact(strength=0.5).edit(first.conditioning, encoder)
    assert second.windows == (None, None, None)
    stack = [redact(), redact(phrases="a red dog", neutral="cat")]
    verdicts = embedops.screen(pipe, PROMPTS, stack)
    assert verdicts[2].traces[0].text == "a red dog holding a thing"
    assert all(t.text != "knife" for t in verdicts[2].traces[1].tokens)


def test_a_neutral_word_that_is_a_concept_stops_the_call(pipe: Any) -> None:
    with pytest.raises(GuardError, match="neutral word 'knife'"):
        edit_of(pipe, PROMPTS, neutral="knife")
    edit_of(pipe, PROMPTS[1:2], neutral="knife")  # not needed, so not in the way


def test_what_triggers_after_the_rewriting_is_left_out(pipe: Any) -> None:
    class HearsPairs(Wrapped):
        def pooled(self, texts: Sequence[str]) -> Mapping[str, Tensor]:
            return super().pooled(
                ["a photo of a pistol" if "red thing" in text else text for text in texts]
            )

    encoder = HearsPairs(pipe)
    edit = redact().edit(encoder.encode(["a red knife here"]), encoder)
    assert edit.traces[0].text == "here"
    assert edit.traces[0].values["rounds"] == 2
    assert "'red thing' triggered too" in edit.traces[0].notes[0]


class Wrapped:
    """The pipeline's own encoder, with one answer to be changed."""

    def __init__(self, pipe: Any) -> None:
        self._one = encoder_of(pipe)
        self.presets: Mapping[str, tuple[str, ...]] = {}

    def encode(self, texts: Sequence[str]) -> Conditioning:
        return self._one.encode(texts)

    def encode_negative(self, texts: Sequence[str]) -> Conditioning:
        return self._one.encode_negative(texts)

    def pooled(self, texts: Sequence[str]) -> Mapping[str, Tensor]:
        return self._one.pooled(texts)

    def leave_one_out(self, conditioning: Conditioning) -> Mapping[str, tuple[LeaveOneOut, ...]]:
        return self._one.leave_one_out(conditioning)

    def vocabulary(self) -> tuple[str, ...]:
        return self._one.vocabulary()


class Several(Wrapped):
    """Two streams, of which the second has a pooled vector that the denoiser reads."""

    def encode(self, texts: Sequence[str]) -> Conditioning:
        whole = super().encode(texts)
        (stream,) = whole.streams
        other = dataclasses.replace(
            stream, name="text_encoder_2", embeds=-stream.embeds, pooled_read=True
        )
        return Conditioning(whole.prompts, (stream, other))

    def pooled(self, texts: Sequence[str]) -> Mapping[str, Tensor]:
        (vectors,) = super().pooled(texts).values()
        return {"text_encoder": vectors, "text_encoder_2": vectors.flip(1)}


class Unpadded(Wrapped):
    """As many positions as the longest prompt of the call has tokens."""

    def encode(self, texts: Sequence[str]) -> Conditioning:
        whole = super().encode(texts)
        (stream,) = whole.streams
        kept = int((stream.roles != Role.PAD).sum(1).max())
        cut = dataclasses.replace(
            stream,
            embeds=stream.embeds[:, :kept],
            roles=stream.roles[:, :kept],
            tokens=tuple(row[:kept] for row in stream.tokens),
        )
        return Conditioning(whole.prompts, (cut,))


def test_every_stream_and_the_pooled_vector_are_replaced(pipe: Any) -> None:
    encoder = Several(pipe)
    edited = redact().edit(encoder.encode(PROMPTS), encoder).conditioning
    for stream, wanted in zip(edited.streams, encoder.encode(READ).streams, strict=True):
        torch.testing.assert_close(stream.embeds, wanted.embeds)
        torch.testing.assert_close(stream.pooled, wanted.pooled)


def test_encodings_of_other_lengths_are_taken_whole_and_not_mixed(pipe: Any) -> None:
    encoder = Unpadded(pipe)
    prompts = ["a photo of a small pistol pistol", "a cat"]
    given = encoder.encode(prompts)
    negative = encoder.encode_negative(["", ""])
    edited = redact().edit(given.avoiding(negative), encoder).conditioning
    assert edited.prompts == ("a photo of a small thing", "a cat")
    assert edited.negative is negative
    torch.testing.assert_close(embeds(edited), embeds(encoder.encode(edited.prompts)))
    with pytest.raises(GuardError, match="strength=1"):
        redact(strength=0.5).edit(given, encoder)


def test_half_precision_keeps_its_dtype(pipe: Any) -> None:
    pipe.to(torch.bfloat16)
    edit = edit_of(pipe, PROMPTS, strength=0.5)
    assert embeds(edit.conditioning).dtype == torch.bfloat16
    assert edit.windows == (Window(), None, Window())


def test_weights_that_are_not_finite_stop_the_call(pipe: Any) -> None:
    with torch.no_grad():
        next(iter(pipe.text_encoder.parameters())).fill_(float("nan"))
    with pytest.raises(GuardError, match="NaN"):
        embedops.screen(pipe, PROMPTS, redact())


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({}, ConfigError, "empty list"),
        ({"phrases": "a gun", "quantil": 0.5}, UnknownNameError, "quantile"),
        ({"phrases": "a gun", "quantile": 1.0}, ConfigError, "quantile"),
        ({"phrases": "a gun", "margin": -0.1}, ConfigError, "margin"),
        ({"phrases": "a gun", "strength": 1.5}, ConfigError, "strength"),
        ({"phrases": "a gun", "spans": 0}, ConfigError, "spans"),
        ({"phrases": "a gun", "start": 0.5, "stop": 0.5}, ConfigError, "start=0.5"),
    ],
)
def test_settings_that_cannot_work_are_refused(
    settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        embedops.plugin("redact", **settings)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"concepts": "weapon"}, UnknownNameError, "weapons"),
        ({"phrases": " "}, ConfigError, "blank"),
    ],
)
def test_concepts_that_are_none_are_refused(
    pipe: Any, settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        embedops.screen(pipe, "a cat", embedops.plugin("redact", **settings))


def test_one_call_asks_the_encoder_for_one_more_encoding(pipe: Any) -> None:
    asked: list[int] = []

    class Counting(Wrapped):
        def encode(self, texts: Sequence[str]) -> Conditioning:
            asked.append(len(texts))
            return super().encode(texts)

    encoder = Counting(pipe)
    given = encoder_of(pipe).encode(PROMPTS)
    redact().edit(given, encoder)
    assert asked == [2]
    redact().edit(given.select([1]), encoder)
    assert asked == [2]
