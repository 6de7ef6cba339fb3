from __future__ import annotations

from families import flux

from embedops.testing import Case, Conformance

SIZE = {"height": 16, "width": 16, "max_sequence_length": 24}


class TestFlux(Conformance):
    cases = (
        Case(
            "FluxPipeline",
            flux.flux,
            SIZE,
            guided={"true_cfg_scale": 4.0, "negative_prompt": ""},
            unguided={"true_cfg_scale": 1.0},
            per_row=("negative_prompt",),
        ),
    )
