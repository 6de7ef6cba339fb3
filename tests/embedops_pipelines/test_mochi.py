from __future__ import annotations

from families import mochi

from embedops.testing import Case, Conformance

INPUTS = {"height": 32, "width": 32, "num_frames": 7, "max_sequence_length": 32}


class TestMochi(Conformance):
    cases = (Case("MochiPipeline", mochi.mochi, INPUTS, images="num_videos_per_prompt"),)
