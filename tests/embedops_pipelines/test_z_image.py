from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from families import z_image
from families.variants import reads_the_edited_text
from PIL import Image
from probe import say

import embedops
from embedops import GuardError
from embedops.testing import Case, Conformance

IMAGE, MASK = Image.new("RGB", (16, 16), "orange"), Image.new("L", (16, 16), 255)
INPUTS = {"height": 16, "width": 16, "max_sequence_length": 64}


class TestZImage(Conformance):
    cases = (Case("ZImagePipeline", z_image.z_image, INPUTS, unguided={"guidance_scale": 0.0}),)


@pytest.mark.parametrize(
    ("build", "inputs"),
    [
        (z_image.z_image_img2img, {"image": IMAGE, "strength": 0.7}),
        (z_image.z_image_inpaint, {"image": IMAGE, "mask_image": MASK, "strength": 0.7}),
    ],
)
def test_variants(build: Callable[[], Any], inputs: dict[str, Any]) -> None:
    reads_the_edited_text(Case(build.__name__, build, {**INPUTS, **inputs}, steps=4))


def test_embeddings_without_a_prompt_are_refused() -> None:
    pipe = z_image.z_image()
    embeds, _ = pipe.encode_prompt(["a pistol"], do_classifier_free_guidance=False)
    settings = {**INPUTS, "guidance_scale": 0.0, "num_inference_steps": 2, "output_type": "latent"}
    with embedops.attach(pipe, say()), pytest.raises(GuardError, match="no prompt"):
        pipe(prompt_embeds=embeds, **settings)
    with embedops.attach(pipe, say(), policy="allow-unchecked") as session:
        pipe(prompt_embeds=embeds, **settings)
    assert not session.report.verdicts[0].checked


def test_guidance_that_ends_before_the_last_step() -> None:
    pipe = z_image.z_image()

    def draw(prompt: str) -> torch.Tensor:
        return pipe(
            prompt,
            **INPUTS,
            cfg_truncation=0.5,
            guidance_scale=4.0,
            num_inference_steps=4,
            generator=torch.Generator().manual_seed(0),
            output_type="latent",
        ).images

    expected = draw("a cat on the beach")
    with embedops.attach(pipe, say()):
        assert torch.equal(draw("a pistol on the beach"), expected)
