from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from families import cogvideox
from families.variants import reads_the_edited_text
from PIL import Image

from embedops.testing import Case, Conformance

SIZE = {"height": 16, "width": 16, "max_sequence_length": cogvideox.LENGTH}
IMAGE = Image.new("RGB", (16, 16), "orange")


class TestCogVideoX(Conformance):
    cases = (
        # The pipeline sets the number of videos to one, whatever it is asked for.
        Case("CogVideoXPipeline", cogvideox.cogvideox, {**SIZE, "num_frames": 9}, images=None),
    )


@pytest.mark.parametrize(
    ("build", "inputs"),
    [
        (cogvideox.image_to_video, {"image": [IMAGE] * 2, "num_frames": 9, **SIZE}),
        (cogvideox.video_to_video, {"video": [[IMAGE] * 9] * 2, "strength": 0.8, **SIZE}),
    ],
)
def test_variants(build: Callable[[], Any], inputs: dict[str, Any]) -> None:
    reads_the_edited_text(Case(build.__name__, build, inputs, images=None, steps=5))
