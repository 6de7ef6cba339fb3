from __future__ import annotations

import dataclasses
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from conftest import Draw
from torch import Tensor

import embedops
from embedops import (
    Conditioning,
    ConfigError,
    GuardError,
    LeaveOneOut,
    Role,
    Subspace,
    UnknownNameError,
)
from embedops.families import adapter_for
from embedops_safree import Safree, SafreeConfig
from embedops_safree.self_validation import filter_window, last_step

CONCEPTS = ("a weapon", "a gun", "a pistol")
PROMPTS = ["a photo of a pistol on the table", "", "a red cat holding a knife", "pistol"]


def safree(**settings: Any) -> Safree:
    return Safree(SafreeConfig(**{"phrases": CONCEPTS, **settings}))


def encoder_of(pipe: Any) -> Any:
    return adapter_for(pipe).encoder()


class SeveralStreams:
    """The pipeline's own text encoder, shown as if it were two, with a pooled vector read."""

    def __init__(self, pipe: Any) -> None:
        self._one = encoder_of(pipe)
        self.presets: Mapping[str, tuple[str, ...]] = {}

    def encode(self, texts: Sequence[str]) -> Conditioning:
        whole = self._one.encode(texts)
        stream = dataclasses.replace(whole.streams[0], pooled_read=True)
        return Conditioning(
            whole.prompts, (whole.streams[0], dataclasses.replace(stream, name="text_encoder_2"))
        )

    def encode_negative(self, texts: Sequence[str]) -> Conditioning:
        return self.encode(texts)

    def pooled(self, texts: Sequence[str]) -> Mapping[str, Tensor]:
        vectors = self._one.pooled(texts)["text_encoder"]
        return {"text_encoder": vectors, "text_encoder_2": vectors}

    def leave_one_out(self, conditioning: Conditioning) -> Mapping[str, tuple[LeaveOneOut, ...]]:
        asked = self._one.leave_one_out(conditioning)["text_encoder"]
        second = tuple(dataclasses.replace(one, stream="text_encoder_2") for one in asked)
        return {"text_encoder": asked, "text_encoder_2": second}

    def vocabulary(self) -> tuple[str, ...]:
        return tuple(self._one.vocabulary())


# Settings.


def test_something_to_steer_away_from_has_to_be_named() -> None:
    with pytest.raises(ConfigError, match="Name presets in `concepts` or write `phrases`"):
        embedops.plugin("safree")


def test_a_misspelt_setting_is_an_error() -> None:
    with pytest.raises(UnknownNameError, match="'alpha'"):
        embedops.plugin("safree", phrases="a gun", alhpa=0.1)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("variant", "official"), ("alpha", -1), ("alpha", float("nan")), ("strength", 1.5),
        ("gamma_fraction", 0), ("re_attention_scale", 2), ("kind", "nudity"),
    ],
)  # fmt: skip
def test_a_bad_value_is_named(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"safree.*{key}"):
        embedops.plugin("safree", phrases="a gun", **{key: value})


def test_an_unknown_preset_is_an_error_with_the_nearest_name(pipe: Any) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'weapons'"):
        embedops.screen(pipe, "a cat", embedops.plugin("safree", concepts="weapon"))


def test_a_blank_phrase_is_an_error(pipe: Any) -> None:
    with pytest.raises(ConfigError, match="blank"):
        embedops.screen(pipe, "a cat", safree(phrases=["a gun", " "]))


@pytest.mark.parametrize(
    ("settings", "calibration"),
    [
        ({"concepts": "weapons"}, "content"),
        ({"concepts": ["artist-monet", "artist-dali"]}, "style"),
        ({"concepts": ["artist-monet", "weapons"]}, "content"),
        ({"concepts": "artist-monet", "phrases": "a gun"}, "content"),
        ({"phrases": "a gun", "kind": "style"}, "style"),
    ],
)
def test_artists_are_styles(settings: dict[str, Any], calibration: str) -> None:
    assert SafreeConfig(**settings).calibration == calibration


def test_a_model_that_ships_a_preset_is_heard_first(pipe: Any) -> None:
    def scores(plugin: Any) -> list[float]:
        verdict = embedops.screen(pipe, PROMPTS[0], plugin)[0]
        return [token.score for token in verdict.traces[0].tokens]

    ours = scores(safree(phrases=None, concepts="weapons"))
    pipe.text_encoder.config.concept_presets = {"weapons": CONCEPTS}
    assert scores(safree(phrases=None, concepts="weapons")) == scores(safree()) != ours


# What is done to a prompt.


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_triggering_rows_and_nothing_else_change(pipe: Any, variant: Any) -> None:
    encoder = encoder_of(pipe)
    conditioning = encoder.encode(PROMPTS)
    before = conditioning.streams[0].embeds.clone()
    edit = safree(variant=variant).edit(conditioning, encoder)
    assert torch.equal(conditioning.streams[0].embeds, before)
    concepts = encoder.pooled(CONCEPTS)["text_encoder"]
    touched = 0
    for row, trace in enumerate(edit.traces):
        old, new = before[row], edit.conditioning.streams[0].embeds[row]
        at = [t.position for t in trace.tokens if t.triggered and t.position is not None]
        rest = [i for i in range(77) if i not in at]
        assert torch.equal(new[rest], old[rest])
        if not at:
            assert edit.windows[row] is None
            continue
        touched += len(at)
        prompt = Subspace.span(encoder.leave_one_out(conditioning)["text_encoder"][row].masked)
        if variant == "released":
            assert (new[at] @ concepts.T).abs().max() < 1e-3
        else:
            assert prompt.distance(new[at]).max() < 1e-3
    assert touched > 3


def test_the_trace_says_what_was_measured(pipe: Any) -> None:
    verdict = embedops.screen(pipe, "a red cat holding a pistol", safree(alpha=0.02))[0]
    trace = verdict.traces[0]
    assert [t.text for t in trace.tokens] == ["a", "red", "cat", "holding", "a", "pistol"]
    assert [t.position for t in trace.tokens] == [1, 2, 3, 4, 5, 6]
    for token in trace.tokens:
        others = [t.score for t in trace.tokens if t is not token]
        assert token.threshold == pytest.approx(1.02 * np.mean(others))
        assert token.triggered == (token.score >= token.threshold)
    assert verdict.flagged == any(t.triggered for t in trace.tokens)
    assert trace.values["t_prime"] == last_step(trace.values["z"], "released")
    assert trace.window == filter_window(int(trace.values["t_prime"]))


def test_an_empty_prompt_has_nothing_to_steer(pipe: Any) -> None:
    verdict = embedops.screen(pipe, "", safree())[0]
    assert verdict.flagged is False
    assert verdict.windows == ()


def test_one_token_is_held_against_the_prompt_itself(pipe: Any) -> None:
    loaded, other = embedops.screen(pipe, ["pistol", "cat"], safree(phrases=["pistol"]))
    assert loaded.flagged is True
    assert loaded.traces[0].tokens[0].threshold < 0.1
    held_against = encoder_of(pipe).pooled(["cat"])["text_encoder"]
    space = Subspace.span(encoder_of(pipe).pooled(["pistol"])["text_encoder"])
    expected = 1.01 * float(space.distance(held_against))
    assert other.traces[0].tokens[0].threshold == pytest.approx(expected, rel=1e-3)


def test_a_long_prompt_is_examined_whole(pipe: Any) -> None:
    quiet = safree(alpha=0.1, phrases=["a pistol"])
    filler = "a blue house on the river and a boat in the night " * 17
    verdict = embedops.screen(pipe, filler + "a pistol " * 2, quiet)[0]
    tokens = verdict.traces[0].tokens
    assert len(tokens) == 17 * 12 + 4
    assert [t.position for t in tokens[:75]] == list(range(1, 76))
    assert all(t.position is None for t in tokens[75:])
    steered = safree().edit(encoder_of(pipe).encode([filler]), encoder_of(pipe))
    unread = sum(t.triggered and t.position is None for t in steered.traces[0].tokens)
    assert unread > 0
    assert f"{unread} triggering tokens lie beyond" in steered.traces[0].notes[0]


def test_tokens_that_the_model_does_not_read_are_reported_and_not_steered(pipe: Any) -> None:
    encoder = encoder_of(pipe)
    conditioning = encoder.encode(["cat " * 75 + "pistol"])
    asked = encoder.leave_one_out(conditioning)["text_encoder"][0]
    # Every read token alike, so that only the unread one can trigger.
    same = dataclasses.replace(
        asked, masked=torch.cat([asked.masked[:1].repeat(75, 1), asked.masked[75:]])
    )

    class Asked(SeveralStreams):
        def leave_one_out(self, _: Conditioning) -> Mapping[str, tuple[LeaveOneOut, ...]]:
            return {"text_encoder": (same,)}

    edit = safree(phrases=["pistol"]).edit(conditioning, Asked(pipe))
    assert edit.traces[0].flagged
    assert edit.windows == (None,)
    assert "beyond the text encoder's length" in edit.traces[0].notes[0]


def test_a_batch_is_its_prompts_one_by_one(pipe: Any) -> None:
    encoder = encoder_of(pipe)
    prompts = PROMPTS[:3]
    together = safree().edit(encoder.encode(prompts), encoder)
    shuffled = safree().edit(encoder.encode([prompts[i] for i in (2, 0, 1)]), encoder)
    for row, prompt in enumerate(prompts):
        alone = safree().edit(encoder.encode([prompt]), encoder)
        assert alone.windows[0] == together.windows[row]
        for other, at in ((together, row), (shuffled, (row + 1) % 3)):
            found = other.conditioning.streams[0].embeds[at]
            assert torch.allclose(found, alone.conditioning.streams[0].embeds[0], atol=1e-4)


def test_strength_interpolates_between_the_prompt_and_the_steered_prompt(pipe: Any) -> None:
    encoder = encoder_of(pipe)
    conditioning = encoder.encode(PROMPTS[:1])
    plain, half, full = (
        safree(strength=s).edit(conditioning, encoder).conditioning.streams[0].embeds
        for s in (0.0, 0.5, 1.0)
    )
    assert torch.equal(plain, conditioning.streams[0].embeds)
    assert torch.allclose(half, (plain + full) / 2, atol=1e-5)
    assert not torch.equal(full, plain)


def test_every_stream_and_every_pooled_vector_that_is_read_is_steered(pipe: Any) -> None:
    encoder = SeveralStreams(pipe)
    conditioning = encoder.encode(PROMPTS)
    edit = safree().edit(conditioning, encoder)
    first, second = edit.conditioning.streams
    assert torch.equal(first.embeds, second.embeds)
    concepts = encoder.pooled(CONCEPTS)["text_encoder"]
    for row, window in enumerate(edit.windows):
        old, new = conditioning.streams[1].pooled, second.pooled
        assert old is not None
        assert new is not None
        if window is None:
            assert torch.equal(new[row], old[row])
        else:
            assert (new[row] @ concepts.T).abs().max() < 1e-3 < (old[row] @ concepts.T).abs().max()
    assert torch.equal(first.pooled, conditioning.streams[0].pooled)  # type: ignore[arg-type]
    assert {t.stream for t in edit.traces[0].tokens} == {"text_encoder", "text_encoder_2"}
    assert "z text_encoder_2" in edit.traces[0].values


# What cannot be looked at.


def test_a_stream_without_answers_stops_the_call(pipe: Any) -> None:
    encoder = SeveralStreams(pipe)
    conditioning = encoder.encode(PROMPTS)
    with pytest.raises(GuardError, match="text_encoder_2: the pipeline adapter gives no sentence"):
        safree().edit(conditioning, encoder_of(pipe))


@pytest.mark.parametrize("where", ["pooled", "masked", "whole"])
def test_vectors_that_are_not_finite_stop_the_call(pipe: Any, where: str) -> None:
    class Broken(SeveralStreams):
        def pooled(self, texts: Sequence[str]) -> Mapping[str, Tensor]:
            found = super().pooled(texts)
            bad = float("nan") if where == "pooled" else 1.0
            return {name: bad * vectors for name, vectors in found.items()}

        def leave_one_out(
            self, conditioning: Conditioning
        ) -> Mapping[str, tuple[LeaveOneOut, ...]]:
            found = super().leave_one_out(conditioning)
            if where == "pooled":
                return found
            return {
                name: tuple(
                    dataclasses.replace(a, **{where: torch.full_like(getattr(a, where), np.inf)})
                    for a in rows
                )
                for name, rows in found.items()
            }

    encoder = Broken(pipe)
    with pytest.raises(GuardError, match="bfloat16 or float32"):
        safree().edit(encoder.encode(PROMPTS), encoder)


def test_tokens_that_were_not_judged_stop_the_call(pipe: Any) -> None:
    encoder = encoder_of(pipe)
    said = encoder.encode(["a photo of a pistol"])
    reworded = said.replace(prompts=["a cat"])
    assert said.streams[0].positions(0, Role.CONTENT) == [1, 2, 3, 4, 5]
    with pytest.raises(GuardError, match=r"\[1, 2, 3, 4, 5\], but those at \[1, 2\] were judged"):
        safree().edit(reworded, encoder)


# Options of ours.


def test_reaching_onward_replaces_every_row_from_the_first_trigger(pipe: Any) -> None:
    encoder = encoder_of(pipe)
    conditioning = encoder.encode(PROMPTS)
    edit = safree(reach="onward").edit(conditioning, encoder)
    concepts = encoder.pooled(CONCEPTS)["text_encoder"]
    for row, trace in enumerate(edit.traces):
        old, new = conditioning.streams[0].embeds[row], edit.conditioning.streams[0].embeds[row]
        first = next((t.position for t in trace.tokens if t.triggered), None)
        assert (first is None) == (edit.windows[row] is None)
        if first is not None:
            assert torch.equal(new[:first], old[:first])
            assert (new[first:] @ concepts.T).abs().max() < 1e-3


def test_in_half_precision(draw: Draw) -> None:
    pipe = tiny.stable_diffusion().to(dtype=torch.bfloat16)
    before = draw(pipe, PROMPTS)
    with embedops.attach(pipe, safree(self_validation=False, re_attention=True)):
        steered = draw(pipe, PROMPTS)
    assert np.isfinite(steered).all()
    assert np.abs(steered[0] - before[0]).max() > 1e-3
    assert np.array_equal(draw(pipe, PROMPTS), before)


def test_one_plugin_serves_two_pipelines_in_two_threads(draw: Draw) -> None:
    pipes = [tiny.stable_diffusion(seed) for seed in (0, 1)]
    plugin = safree(re_attention=True)
    alone = []
    for pipe in pipes:
        with embedops.attach(pipe, safree(re_attention=True)):
            alone.append(draw(pipe, PROMPTS))
    together: dict[int, list[np.ndarray[Any, Any]]] = {0: [], 1: []}

    def serve(number: int) -> None:
        with embedops.attach(pipes[number], plugin):
            together[number].extend(draw(pipes[number], PROMPTS) for _ in range(3))

    threads = [threading.Thread(target=serve, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in (0, 1):
        assert len(together[number]) == 3
        assert all(np.array_equal(found, alone[number]) for found in together[number])
