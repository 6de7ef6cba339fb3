from __future__ import annotations

import torch
from families import ltx2
from families.variants import reads_the_edited_text

from embedops import attach
from embedops.testing import Case, Conformance, read_as
from embedops.testing.case import CAT, DOG, PISTOL

SIZE = {"height": 32, "width": 32, "num_frames": 9, "max_sequence_length": 16}
ONE_PASS = {
    "stg_scale": 0.0,
    "audio_stg_scale": 0.0,
    "modality_scale": 1.0,
    "audio_modality_scale": 1.0,
}


class TestLtx2(Conformance):
    cases = (
        Case(
            "LTX2Pipeline",
            ltx2.ltx2,
            {**SIZE, **ONE_PASS},
            images="num_videos_per_prompt",
            skip={"test_a_cache_of_the_first_block": "upstream's cache does not know these blocks"},
        ),
    )


def test_image_to_video() -> None:
    inputs = {**SIZE, "image": torch.full((2, 3, 32, 32), 0.5), "image_crf": 0}
    reads_the_edited_text(Case("LTX2ImageToVideoPipeline", ltx2.ltx2_image_to_video, inputs))


def test_perturbed_passes_read_the_edited_text_and_are_no_steps() -> None:
    more = {"stg_scale": 1.0, "modality_scale": 2.0, "spatio_temporal_guidance_blocks": [1]}
    case = Case("LTX2Pipeline", ltx2.ltx2, {**SIZE, **more})
    pipe = case.build()
    expected = case.run(pipe, [CAT, DOG])
    with attach(pipe, read_as()) as session:
        assert torch.equal(case.run(pipe, [PISTOL, DOG]), expected)
    assert session.report.steps == (tuple(range(case.steps)), ())
