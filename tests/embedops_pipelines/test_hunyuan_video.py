from __future__ import annotations

from families import hunyuan_video

from embedops.testing import Case, Conformance

INPUTS = {
    "height": 16,
    "width": 16,
    "num_frames": 5,
    "max_sequence_length": 32,
    "prompt_template": hunyuan_video.TEMPLATE,
}


class TestHunyuanVideo(Conformance):
    cases = (
        Case(
            "HunyuanVideoPipeline",
            hunyuan_video.hunyuan_video,
            INPUTS,
            guided={"true_cfg_scale": 4.0, "negative_prompt": ""},
            unguided={"true_cfg_scale": 1.0},
            per_row=("negative_prompt",),
            images="num_videos_per_prompt",
        ),
    )
