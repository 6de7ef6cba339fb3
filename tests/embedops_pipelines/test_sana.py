from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from families import sana
from families.variants import reads_the_edited_text
from PIL import Image

import embedops
from embedops.testing import Case, Conformance

IMAGE = Image.new("RGB", (32, 32), "orange")
INPUTS = {
    "height": 32,
    "width": 32,
    "use_resolution_binning": False,
    "clean_caption": False,
    "max_sequence_length": 24,
    "complex_human_instruction": ["a drawing of", "the thing: "],
}
SPRINT = {**INPUTS, "intermediate_timesteps": None}
VIDEO = {**INPUTS, "frames": 5}


class TestSana(Conformance):
    cases = (
        Case("SanaPipeline", sana.sana, INPUTS),
        Case("SanaVideoPipeline", sana.sana_video, VIDEO, images="num_videos_per_prompt"),
    )


class TestSanaSprint(Conformance):
    cases = (
        Case(
            "SanaSprintPipeline", sana.sana_sprint, SPRINT, guided={}, unguided={}, negative=False
        ),
    )


@pytest.mark.parametrize(
    ("build", "inputs"),
    [
        (sana.sana_controlnet, {**INPUTS, "control_image": IMAGE}),
        (sana.sana_image_to_video, {**VIDEO, "image": IMAGE}),
        (sana.sana_sprint_img2img, {**SPRINT, "image": IMAGE, "strength": 0.7}),
    ],
)
def test_variants(build: Callable[[], Any], inputs: dict[str, Any]) -> None:
    reads_the_edited_text(Case(build.__name__, build, inputs, guided={}, steps=4))


def test_outside_of_a_call_texts_have_the_instruction_of_calls() -> None:
    pipe = sana.sana()
    read: list[torch.Tensor] = []
    pipe.transformer.register_forward_pre_hook(
        lambda _m, _a, kwargs: read.append(kwargs["encoder_hidden_states"]), with_kwargs=True
    )
    settings = {"height": 32, "width": 32, "use_resolution_binning": False}
    pipe("A Cat", guidance_scale=1.0, num_inference_steps=1, output_type="latent", **settings)
    encoder = embedops.adapters()["sana"](pipe).encoder()
    assert torch.equal(encoder.encode(["A Cat"]).streams[0].embeds, read[0])


def test_phrases_are_put_in_lower_case_as_captions_are() -> None:
    encoder = embedops.adapters()["sana-sprint"](sana.sana_sprint()).encoder()
    vectors = encoder.pooled(["A Cat ", "a cat", "a dog"])["text_encoder"]
    assert torch.equal(vectors[0], vectors[1])
    assert not torch.equal(vectors[0], vectors[2])
