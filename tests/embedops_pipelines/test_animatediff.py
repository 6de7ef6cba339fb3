from __future__ import annotations

from families import animatediff
from families.variants import reads_the_edited_text
from PIL import Image

from embedops.testing import Case, Conformance

SIZE = {"height": 16, "width": 16, "num_frames": 3}
CLIP = [Image.new("RGB", (16, 16), colour) for colour in ("orange", "red", "blue")]


class TestAnimateDiff(Conformance):
    cases = (
        Case("AnimateDiffPipeline", animatediff.animatediff, SIZE, images=None),
        Case(
            "AnimateDiffSDXLPipeline",
            animatediff.animatediff_xl,
            SIZE,
            images=None,
        ),
    )


def test_video_to_video() -> None:
    inputs = {"video": [CLIP] * 2, "strength": 0.8}
    reads_the_edited_text(
        Case("AnimateDiffVideoToVideoPipeline", animatediff.video_to_video, inputs, steps=5)
    )


def test_sparse_control() -> None:
    inputs = {**SIZE, "conditioning_frames": CLIP[:1], "controlnet_frame_indices": [1]}
    reads_the_edited_text(
        Case("AnimateDiffSparseControlNetPipeline", animatediff.sparse_control, inputs)
    )
