from __future__ import annotations

import pytest
import torch
from families import cogview4
from families.variants import reads_the_edited_text
from PIL import Image
from probe import say

import embedops
from embedops import GuardError
from embedops.testing import Case, Conformance

IMAGE = Image.new("RGB", (16, 16), "orange")
INPUTS = {"height": 16, "width": 16}
LONG = "a " + "big red " * 10 + "cat"


class TestCogView4(Conformance):
    cases = (Case("CogView4Pipeline", cogview4.cogview4, INPUTS),)


def test_a_control_image() -> None:
    inputs = {**INPUTS, "control_image": IMAGE}
    reads_the_edited_text(Case("control", cogview4.cogview4_control, inputs))


def draw(prompts: list[str]) -> torch.Tensor:
    generator = [torch.Generator().manual_seed(seed) for seed in range(len(prompts))]
    settings = {**INPUTS, "num_inference_steps": 3, "output_type": "latent"}
    return PIPE(prompts, generator=generator, **settings).images


PIPE = cogview4.cogview4()


def test_a_short_text_takes_the_place_of_a_long_one() -> None:
    expected = draw(["a cat on the beach", LONG])
    with embedops.attach(PIPE, say()):
        edited = draw([LONG.replace("cat", "pistol"), LONG])
    assert torch.equal(edited, expected)


def test_a_prompt_alone_takes_a_text_of_any_length() -> None:
    for prompt, instead in ((LONG + " pistol", "a cat on the beach"), ("a pistol", LONG)):
        expected = draw([instead])
        with embedops.attach(PIPE, say(instead=instead)):
            assert torch.equal(draw([prompt]), expected)


def test_a_longer_text_than_its_neighbours_is_refused() -> None:
    with embedops.attach(PIPE, say(instead=LONG)), pytest.raises(GuardError, match="alone"):
        draw(["a pistol", "a dog"])
