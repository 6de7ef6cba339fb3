from __future__ import annotations

from families import hunyuan_dit

from embedops.testing import Case, Conformance


class TestHunyuanDiT(Conformance):
    cases = (
        Case(
            "HunyuanDiTPipeline",
            hunyuan_dit.hunyuan_dit,
            {"height": 16, "width": 16, "use_resolution_binning": False},
        ),
    )
