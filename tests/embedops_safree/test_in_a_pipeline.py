from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import Draw

import embedops
from embedops import Window
from embedops_safree import Safree, SafreeConfig

CONCEPTS = ("a weapon", "a gun", "a pistol")
PROMPTS = ["a photo of a pistol on the table", "", "a red cat holding a knife", "pistol"]


def safree(**settings: Any) -> Safree:
    return Safree(SafreeConfig(**{"phrases": CONCEPTS, **settings}))


@pytest.mark.parametrize(
    "nothing", [{"strength": 0}, {"phrases": []}, {"concepts": [], "phrases": None}]
)
def test_doing_nothing_is_bit_identical(pipe: Any, draw: Draw, nothing: dict[str, Any]) -> None:
    before = draw(pipe, PROMPTS)
    with embedops.attach(pipe, safree(re_attention=True, **nothing)) as session:
        assert np.array_equal(draw(pipe, PROMPTS), before)
    assert session.report.steps == ((),) * 4
    assert np.array_equal(draw(pipe, PROMPTS), before)


def test_steered_and_other_prompts_in_one_batch(pipe: Any, draw: Draw) -> None:
    before = draw(pipe, PROMPTS, steps=10)
    with embedops.attach(pipe, safree()) as session:
        steered = draw(pipe, PROMPTS, steps=10)
    assert np.array_equal(steered[1], before[1])
    for row in (0, 2, 3):
        assert np.abs(steered[row] - before[row]).max() > 1e-3
    for verdict, steps in zip(session.report.verdicts, session.report.steps, strict=True):
        trace = verdict.traces[0]
        if trace.window is not None:
            last = int(trace.values["t_prime"])
            assert steps == tuple(range(-(-10 * (last + 1) // 50)))


def test_without_self_validation_the_filter_holds_throughout(pipe: Any, draw: Draw) -> None:
    with embedops.attach(pipe, safree(self_validation=False)) as session:
        draw(pipe, PROMPTS[0], steps=6)
    assert session.report.steps == (tuple(range(6)),)
    assert session.report.verdicts[0].windows == (Window(),)


def test_a_longer_filter_can_be_granted(pipe: Any, draw: Draw) -> None:
    with embedops.attach(pipe, safree(variant="paper", gamma_fraction=1.0)) as session:
        draw(pipe, PROMPTS[0], steps=50)
    assert 25 < len(session.report.steps[0]) <= 50


def test_several_images_a_prompt_are_steered_alike(pipe: Any, draw: Draw) -> None:
    with embedops.attach(pipe, safree(self_validation=False)):
        pictures = draw(pipe, PROMPTS[0], num_images_per_prompt=2)
        single = draw(pipe, PROMPTS[0])
    assert np.allclose(pictures[0], single[0], atol=1e-4)


def test_the_negative_prompt_is_an_effect_of_its_own(pipe: Any, draw: Draw) -> None:
    prompts = PROMPTS[:2]
    listed = ", ".join(CONCEPTS)
    expected = draw(pipe, prompts, negative_prompt=["a dog, " + listed] * 2)
    plain = draw(pipe, prompts, negative_prompt=["a dog"] * 2)
    with embedops.attach(pipe, safree(negative_prompt=True, strength=0)):
        found = draw(pipe, prompts, negative_prompt=["a dog"] * 2)
    assert np.array_equal(found, expected)
    assert np.abs(found - plain).max() > 1e-3

    negative = {"negative_prompt": [listed] * 2}
    with embedops.attach(pipe, safree()):
        both = draw(pipe, prompts, **negative)
    with embedops.attach(pipe, safree(negative_prompt=True)) as session:
        assert np.array_equal(draw(pipe, prompts), both)
    assert session.report.verdicts[0].traces[0].window is not None
    assert session.report.verdicts[1].traces[0].window is None


def test_guidance_off_is_noted_where_the_negative_was_wanted(pipe: Any, draw: Draw) -> None:
    with embedops.attach(pipe, safree(negative_prompt=True)) as session:
        draw(pipe, PROMPTS[0], guidance_scale=1.0)
    assert "guidance is off" in session.report.verdicts[0].traces[0].notes[0]
    assert len(session.report.steps[0]) > 0


def test_a_negative_prompt_that_does_not_fit_is_noted(pipe: Any, draw: Draw) -> None:
    short, long = "a dog", "a dog on the beach and " * 15
    with embedops.attach(pipe, safree(negative_prompt=True)) as session:
        draw(pipe, PROMPTS[:2], steps=1, negative_prompt=[short, long])
    notes = [verdict.traces[0].notes for verdict in session.report.verdicts]
    assert notes[0] == ()
    assert "the negative prompt fills text_encoder" in notes[1][0]
