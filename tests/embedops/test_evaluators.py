from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from embedops import EmbedopsError
from embedops.evaluators import evaluator_for

MODULE = """
class Reading:
    def __init__(self, red):
        self.red = red

    def sees(self, name):
        return name == "red" and self.red

    def seen(self):
        return ("red",) if self.red else ()


class Colours:
    @classmethod
    def load(cls):
        return cls()

    def read(self, images):
        return [Reading(image.getpixel((0, 0))[0] > 200) for image in images]


class Wreck:
    @classmethod
    def load(cls):
        raise FileNotFoundError("the weights are gone")
"""


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another party's evaluators."""
    about = tmp_path / "colours-1.dist-info"
    about.mkdir()
    (tmp_path / "colours_of_pictures.py").write_text(MODULE)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: colours\nVersion: 1\n")
    (about / "entry_points.txt").write_text(
        "[embedops.evaluators]\n"
        "colourful = colours_of_pictures:Colours\n"
        "wreck = colours_of_pictures:Wreck\n"
        "absent = colours_of_pictures:Nothing\n"
    )
    monkeypatch.syspath_prepend(tmp_path)


def test_an_evaluator_is_found_by_the_name_of_its_model() -> None:
    evaluator = evaluator_for("colourful")
    assert evaluator is not None
    readings = evaluator.read([Image.new("RGB", (4, 4), c) for c in ("red", "blue")])
    assert [reading.sees("red") for reading in readings] == [True, False]
    assert [reading.seen() for reading in readings] == [("red",), ()]


def test_most_models_have_none(tmp_path: Path) -> None:
    assert evaluator_for("stable-diffusion-v1-5/stable-diffusion-v1-5") is None
    assert evaluator_for(str(tmp_path)) is None


@pytest.mark.parametrize(
    ("model", "why"), [("wreck", "the weights are gone"), ("absent", "no attribute 'Nothing'")]
)
def test_one_that_cannot_be_loaded_is_an_error(model: str, why: str) -> None:
    with pytest.raises(EmbedopsError, match=f"evaluator of '{model}'.*{why}"):
        evaluator_for(model)
