from __future__ import annotations

from families import allegro

from embedops.testing import Case, Conformance


class TestAllegro(Conformance):
    cases = (
        Case(
            "AllegroPipeline",
            allegro.allegro,
            {
                "height": 32,
                "width": 32,
                "num_frames": 8,
                "clean_caption": False,
                "max_sequence_length": 32,
            },
            images=None,
            skip={
                "test_a_cache_of_the_first_block": "upstream has not registered Allegro's blocks "
                "with its caches"
            },
        ),
    )
