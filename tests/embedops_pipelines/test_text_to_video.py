from __future__ import annotations

import torch
from families import text_to_video
from PIL import Image

from embedops import attach
from embedops.testing import Case, Conformance, read_as
from embedops.testing.case import CAT, PISTOL


class TestTextToVideo(Conformance):
    cases = (
        Case(
            "TextToVideoSDPipeline",
            text_to_video.text_to_video,
            {"height": 16, "width": 16, "num_frames": 3},
            images=None,
        ),
    )


def test_video_to_video() -> None:
    pipe = text_to_video.video_to_video()
    clip = [Image.new("RGB", (16, 16), colour) for colour in ("orange", "red", "blue")]

    def draw(prompt: str) -> torch.Tensor:
        return pipe(
            prompt,
            video=clip,
            strength=0.8,
            num_inference_steps=5,
            generator=torch.Generator().manual_seed(0),
            output_type="latent",
        ).frames

    before, expected = draw(PISTOL), draw(CAT)
    with attach(pipe, read_as()):
        assert torch.equal(draw(PISTOL), expected)
    assert torch.equal(draw(PISTOL), before)
    assert not torch.equal(before, expected)
