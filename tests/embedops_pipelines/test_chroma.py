from __future__ import annotations

from families import chroma
from families.variants import reads_the_edited_text
from PIL import Image

from embedops.testing import Case, Conformance

SIZE = {"height": 16, "width": 16, "max_sequence_length": 32}


class TestChroma(Conformance):
    cases = (
        Case(
            "ChromaPipeline",
            chroma.chroma,
            SIZE,
            skip={
                "test_a_cache_of_the_first_block": "upstream has not registered Chroma's blocks "
                "with its caches"
            },
        ),
    )


def test_image_to_image() -> None:
    inputs = {**SIZE, "image": Image.new("RGB", (16, 16), "orange"), "strength": 0.8}
    reads_the_edited_text(Case("ChromaImg2ImgPipeline", chroma.img2img, inputs, steps=5))
