from __future__ import annotations

from families import hidream

from embedops.testing import Case, Conformance


class TestHiDream(Conformance):
    cases = (
        Case(
            "HiDreamImagePipeline",
            hidream.hidream,
            {"height": 32, "width": 32, "max_sequence_length": 32},
        ),
    )
