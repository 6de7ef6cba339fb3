from __future__ import annotations

from families import kolors
from families.variants import reads_the_edited_text
from PIL import Image

from embedops.testing import Case, Conformance

SIZE = {"height": 16, "width": 16, "max_sequence_length": 24}


class TestKolors(Conformance):
    cases = (Case("KolorsPipeline", kolors.kolors, SIZE),)


def test_img2img() -> None:
    inputs = {"image": Image.new("RGB", (16, 16), "orange"), "strength": 0.7}
    sizes = {"max_sequence_length": 24}
    reads_the_edited_text(
        Case("KolorsImg2ImgPipeline", kolors.kolors_img2img, {**sizes, **inputs}, steps=4)
    )
