from __future__ import annotations

from families import aura_flow

from embedops.testing import Case, Conformance


class TestAuraFlow(Conformance):
    cases = (
        Case(
            "AuraFlowPipeline",
            aura_flow.aura_flow,
            {"height": 32, "width": 32, "max_sequence_length": 32},
        ),
    )
