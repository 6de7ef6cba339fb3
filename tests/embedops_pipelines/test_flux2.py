from __future__ import annotations

from families import flux2

from embedops.testing import Case, Conformance


class TestFlux2Klein(Conformance):
    cases = (
        Case(
            "Flux2KleinPipeline",
            flux2.flux2_klein,
            {"height": 16, "width": 16, "max_sequence_length": 48},
            negative=False,
            skip={
                "test_a_cache_of_the_first_block": "upstream's cache does not fit what Flux 2's "
                "blocks return"
            },
        ),
    )
