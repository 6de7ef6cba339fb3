from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from families import ltx
from families.variants import reads_the_edited_text
from PIL import Image

from embedops.testing import Case, Conformance

INPUTS = {"height": 32, "width": 32, "num_frames": 9, "max_sequence_length": 32}
VIDEOS = "num_videos_per_prompt"
IMAGE = Image.new("RGB", (32, 32), "orange")


class TestLtx(Conformance):
    cases = (Case("LTXPipeline", ltx.ltx, INPUTS, images=VIDEOS),)


@pytest.mark.parametrize(
    ("build", "inputs"), [(ltx.image_to_video, {"image": [IMAGE] * 2}), (ltx.condition, {})]
)
def test_variants(build: Callable[[], Any], inputs: dict[str, Any]) -> None:
    reads_the_edited_text(Case(build.__name__, build, {**INPUTS, **inputs}, images=VIDEOS, steps=4))
