from __future__ import annotations

from families import pixart

from embedops.testing import Case, Conformance

INPUTS = {
    "height": 16,
    "width": 16,
    "use_resolution_binning": False,
    "clean_caption": False,
    "max_sequence_length": 24,
}


class TestPixArt(Conformance):
    cases = (
        Case("PixArtAlphaPipeline", pixart.pixart_alpha, INPUTS),
        Case("PixArtSigmaPipeline", pixart.pixart_sigma, INPUTS),
    )
