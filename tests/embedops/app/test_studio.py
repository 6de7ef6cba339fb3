from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tiny
import torch

import embedops
from embedops.app.jobs import Job
from embedops.app.snippets import Call
from embedops.app.studio import Studio, moving_companion
from embedops.app.subjects import subjects
from embedops.drawing import Drawn


def drawn(studio: Studio, call: Call, *plugins: Any) -> list[Any]:
    def work(job: Job[Drawn]) -> Any:
        yield studio.draw(job, call, plugins)

    [found] = [told for told in Job(studio.turns, work).results() if isinstance(told, Drawn)]
    return [np.asarray(image) for image in found.images]


def a_call(studio: Studio, prompt: str = "a gun") -> Call:
    return Call(studio.model, [prompt], settings=studio.call(steps=3))


def test_a_seat_shares_weights_and_nothing_that_a_call_changes(studio: Studio) -> None:
    pipe, seat = studio.pipe, studio.seat()
    assert seat.unet is pipe.unet
    assert seat.text_encoder is pipe.text_encoder
    assert seat.scheduler is not pipe.scheduler
    assert seat.tokenizer is not pipe.tokenizer
    seat.scheduler.set_timesteps(7)
    with embedops.attach(seat, embedops.plugin("safree", phrases="gun")):
        assert "encode_prompt" not in vars(pipe)
    assert pipe.scheduler.num_inference_steps != 7
    assert seat.config.keys() == pipe.config.keys()


def test_a_seat_leaves_the_weights_in_their_format() -> None:
    pipe = tiny.stable_diffusion().to(torch.bfloat16)
    studio = Studio("tiny", lambda: pipe)
    assert studio.seat().unet.dtype == torch.bfloat16
    assert pipe.unet.dtype == pipe.text_encoder.dtype == torch.bfloat16


def test_what_the_page_draws_is_what_the_pipeline_draws(studio: Studio) -> None:
    call = a_call(studio)
    expected = studio.pipe(
        ["a gun"], generator=[torch.Generator().manual_seed(0)], **call.settings
    ).images
    assert np.array_equal(drawn(studio, call)[0], np.asarray(expected[0]))


def test_two_jobs_at_once_do_not_see_each_other(studio: Studio) -> None:
    guard = embedops.plugin("safree", phrases="gun", self_validation=False)
    plain, steered = drawn(studio, a_call(studio)), drawn(studio, a_call(studio), guard)
    assert not np.array_equal(plain[0], steered[0])

    def work(*plugins: Any) -> Any:
        def drawing(job: Job[Drawn]) -> Any:
            for _ in range(3):
                yield studio.draw(job, a_call(studio), plugins)

        return drawing

    jobs = [Job(studio.turns, work()).results(), Job(studio.turns, work(guard)).results()]
    found: list[list[Any]] = [[], []]
    for _ in range(400):
        for number, results in enumerate(jobs):
            told = next(results, None)
            if isinstance(told, Drawn):
                found[number].append(np.asarray(told.images[0]))
    assert [len(pictures) for pictures in found] == [3, 3]
    assert all(np.array_equal(picture, plain[0]) for picture in found[0])
    assert all(np.array_equal(picture, steered[0]) for picture in found[1])


def test_plain_pictures_are_drawn_once(studio: Studio) -> None:
    found = []

    def work(job: Job[Drawn]) -> Any:
        for prompt in ("a gun", "a gun", "a cat"):
            yield studio.draw_plainly(job, a_call(studio, prompt))

    found = [told for told in Job(studio.turns, work).results() if isinstance(told, Drawn)]
    assert found[0] is found[1]
    assert found[2] is not found[0]


def test_a_pipeline_without_guidance_is_not_given_any(studio: Studio) -> None:
    assert studio.call(steps=3, guidance=5.0)["guidance_scale"] == 5.0
    del studio.settings["guidance_scale"]
    studio.guidance = None
    assert "guidance_scale" not in studio.call(steps=3, guidance=0.0)


@pytest.mark.slow
def test_the_embedded_model_has_a_moving_companion(emoji: Studio, studio: Studio) -> None:
    moving = moving_companion(emoji)
    assert moving is not None
    assert moving.turns is emoji.turns
    assert "pipe" not in vars(moving), "nobody waits for its weights before they are needed"
    itself = Studio("emoji-video", lambda: embedops.load("emoji-video"))
    for fact in ("moves", "settings", "steps", "guidance", "presets", "shipped_presets"):
        assert getattr(moving, fact) == getattr(itself, fact), fact
    assert moving_companion(studio) is None


def test_the_models_own_presets_come_first(emoji: Studio) -> None:
    assert emoji.presets[: len(emoji.shipped_presets)] == emoji.shipped_presets
    assert "weapons" in emoji.shipped_presets
    assert "nudity" in emoji.presets
    assert len(set(emoji.presets)) == len(emoji.presets)


def test_shipped_subjects_have_pictures_and_masks(tmp_path: Any) -> None:
    found = {subject.name: subject for subject in subjects()}
    assert "castle" in found
    assert all(subject.masks is not None for subject in found.values())
    assert all("-mask" not in path.name for s in found.values() for path in s.pictures)
    assert subjects(tmp_path / "nowhere") == []
