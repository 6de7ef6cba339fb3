from __future__ import annotations

from families import latte

from embedops.testing import Case, Conformance


class TestLatte(Conformance):
    cases = (
        Case(
            "LattePipeline",
            latte.latte,
            {"height": 16, "width": 16, "video_length": 2, "clean_caption": False},
            skip={
                "test_a_cache_of_the_first_block": "upstream calls this transformer outside of a "
                "cache context"
            },
        ),
    )
