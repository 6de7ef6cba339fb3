from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from families import wan
from families.variants import reads_the_edited_text
from PIL import Image

import embedops
from embedops.testing import Case, Conformance, read_as

SIZE = {"height": 16, "width": 16, "max_sequence_length": 32}
INPUTS = {**SIZE, "num_frames": 5}
VIDEOS = "num_videos_per_prompt"
IMAGE = Image.new("RGB", (16, 16), "orange")


class TestWan(Conformance):
    cases = (
        Case("WanPipeline", wan.wan, INPUTS, images=VIDEOS),
        Case("WanPipeline with two transformers", wan.wan_2_2, INPUTS, images=VIDEOS, steps=4),
    )


@pytest.mark.parametrize(
    ("build", "inputs"),
    [
        (wan.image_to_video, {"image": IMAGE, **INPUTS}),
        (wan.video_to_video, {"video": [[IMAGE] * 5] * 2, "strength": 0.8, **SIZE}),
    ],
)
def test_variants(build: Callable[[], Any], inputs: dict[str, Any]) -> None:
    reads_the_edited_text(Case(build.__name__, build, inputs, images=VIDEOS, steps=5))


def test_steps_go_on_counting_in_the_second_transformer() -> None:
    pipe = wan.wan_2_2()
    case = Case("wan", wan.wan_2_2, INPUTS, steps=6)
    taken: dict[str, int] = {"transformer": 0, "transformer_2": 0}

    def count(name: str) -> None:
        taken[name] += 1

    for name in taken:
        getattr(pipe, name).register_forward_hook(lambda *_, name=name: count(name))
    plain, said = case.run(pipe, ["a photo of a pistol"]), case.run(pipe, ["a photo of a cat"])
    assert min(taken.values()) > 0
    for window in ({"stop": 0.5}, {"start": 0.5}, {"start": 0.8}):
        with embedops.attach(pipe, read_as(**window)) as session:
            drawn = case.run(pipe, ["a photo of a pistol"])
        assert session.report.total == 6
        assert 0 < len(session.report.steps[0]) < 6
        assert not torch.equal(drawn, plain)
        assert not torch.equal(drawn, said)
