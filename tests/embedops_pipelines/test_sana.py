from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from families import sana
from families.variants import reads_the_edited_text
from PIL import Image

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
