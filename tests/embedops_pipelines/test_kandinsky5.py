from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from families import kandinsky5
from families.variants import reads_the_edited_text
from PIL import Image

from embedops.testing import Case, Conformance

SIZE = {"height": 32, "width": 32, "max_sequence_length": 48}
GUIDED = {"guidance_scale": 4.0, "negative_prompt": ""}
IMAGE = Image.new("RGB", (32, 32), "orange")


SKIP = {
    "test_several_images_a_prompt": "upstream gives one prompt the pooled vector of another",
    "test_bfloat16": "upstream keeps parts in float32 and relies on CUDA's autocast",
    "test_a_cache_of_the_first_block": "upstream's cache does not know these blocks",
}


class TestKandinsky5(Conformance):
    cases = (
        Case(
            "Kandinsky5T2VPipeline",
            kandinsky5.kandinsky5_t2v,
            {**SIZE, "num_frames": 5},
            guided=GUIDED,
            unguided={"guidance_scale": 1.0},
            per_row=("negative_prompt",),
            images="num_videos_per_prompt",
            skip=SKIP,
        ),
        Case(
            "Kandinsky5T2IPipeline",
            kandinsky5.kandinsky5_t2i,
            SIZE,
            guided=GUIDED,
            unguided={"guidance_scale": 1.0},
            per_row=("negative_prompt",),
            skip={
                **SKIP,
                "test_every_installed_plugin": "upstream pads without a mask: an edit that is "
                "longer than the batch's longest prompt is refused",
            },
        ),
    )


@pytest.mark.parametrize(
    ("build", "inputs"),
    [
        (kandinsky5.kandinsky5_i2v, {"image": IMAGE, "num_frames": 21}),
        (kandinsky5.kandinsky5_i2i, {"image": [IMAGE, IMAGE]}),
    ],
)
def test_variants(build: Callable[[], Any], inputs: dict[str, Any]) -> None:
    case = Case(
        build.__name__,
        build,
        {**SIZE, **inputs},
        guided=GUIDED,
        per_row=("negative_prompt",),
        steps=4,
    )
    reads_the_edited_text(case)
