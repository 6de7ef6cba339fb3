from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from families import flux2
from families.variants import reads_the_edited_text
from PIL import Image

from embedops import GuardError, attach
from embedops.testing import Case, Conformance, read_as
from embedops.testing.case import CAT, DOG, PISTOL

SIZE = {"height": 16, "width": 16, "max_sequence_length": 48}
NO_CACHE = {
    "test_a_cache_of_the_first_block": "upstream's cache does not fit what Flux 2's blocks return"
}
IMAGE, MASK = Image.new("RGB", (64, 64), "orange"), Image.new("L", (64, 64), 255)  # the least
KLEIN = Case("Flux2KleinPipeline", flux2.flux2_klein, SIZE, negative=False, skip=NO_CACHE)


class TestFlux2(Conformance):
    cases = (
        Case("Flux2Pipeline", flux2.flux2, SIZE, negative=False, skip=NO_CACHE),
        KLEIN,
    )


@pytest.mark.parametrize(
    ("name", "build", "inputs", "guided"),
    [
        ("Flux2Pipeline", flux2.flux2, {"image": IMAGE}, True),
        ("Flux2KleinPipeline", flux2.flux2_klein, {"image": IMAGE}, True),
        (
            "Flux2KleinInpaintPipeline",
            flux2.flux2_klein_inpaint,
            {"image": IMAGE, "mask_image": MASK, "strength": 0.8},
            True,
        ),
        ("Flux2KleinKVPipeline", flux2.flux2_klein_kv, {}, False),
        ("Flux2KleinKVPipeline", flux2.flux2_klein_kv, {"image": IMAGE}, False),
    ],
)
def test_variants(
    name: str, build: Callable[[], Any], inputs: dict[str, Any], guided: bool
) -> None:
    guidance = {"guidance_scale": 4.0} if guided else {}
    reads_the_edited_text(Case(name, build, {**SIZE, **inputs}, guided=guidance))


def test_a_negative_side_that_was_given_as_embeddings() -> None:
    pipe = flux2.flux2_klein()
    embeds, _ = pipe.encode_prompt(["the beach"] * 2, max_sequence_length=48)
    ready = {"negative_prompt_embeds": embeds}
    expected = KLEIN.run(pipe, [CAT, DOG], **ready)
    assert not torch.equal(expected, KLEIN.run(pipe, [CAT, DOG]))
    with attach(pipe, read_as()):
        assert torch.equal(KLEIN.run(pipe, [PISTOL, DOG], **ready), expected)


def test_other_layers_are_refused() -> None:
    pipe = flux2.flux2_klein()
    with attach(pipe, read_as()), pytest.raises(GuardError, match="not found"):
        KLEIN.run(pipe, [PISTOL], text_encoder_out_layers=(1, 2, 3))


def test_a_text_without_a_negative_side_says_so() -> None:
    pipe = flux2.flux2()
    with attach(pipe, read_as(None, negative="a cat")), pytest.raises(GuardError, match="negative"):
        pipe(prompt=[PISTOL], num_inference_steps=1, **SIZE)
