from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from embedops import ConfigError, UnknownNameError
from embedops.app import checks


def test_prompts_are_lines() -> None:
    assert checks.prompts(" a cat \n\n a dog ") == ["a cat", "a dog"]
    assert checks.prompt("a cat\non a beach") == "a cat on a beach"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the prompt is empty"),
        (" \n ", "the prompt is empty"),
        ("a\nb\nc\nd\ne", "5 prompts were given"),
        ("cat " * 400, "at most 1000 are taken"),
    ],
)
def test_prompts_that_cannot_be_drawn(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        checks.prompts(text)


def test_phrases_are_divided_by_commas_and_lines() -> None:
    assert checks.phrases("a gun, a knife\n a bow ,") == ("a gun", "a knife", "a bow")
    with pytest.raises(ConfigError, match="has 101 characters"):
        checks.phrases("x" * 101)
    with pytest.raises(ConfigError, match="21 phrases"):
        checks.phrases("x," * 21)
    with pytest.raises(ConfigError, match="no concept was given"):
        checks.wanted([], " ")


def test_numbers_and_choices_from_a_browser_are_not_trusted() -> None:
    for wrong in (None, "7", 0, 99, float("nan")):
        with pytest.raises(ConfigError, match="expected 1 to 6"):
            checks.count(wrong, 6, "pictures")
    for wrong in (None, -1, 2**40):
        with pytest.raises(ConfigError, match="the seed is"):
            checks.seed(wrong)
    with pytest.raises(UnknownNameError, match="did you mean 'redact'"):
        checks.known("method", "redcat", ["redact", "safree"])


def test_pictures_are_looked_into(tmp_path: Path) -> None:
    good = tmp_path / "good.png"
    Image.new("RGB", (32, 32)).save(good)
    assert checks.pictures([str(good)]) == [good]

    def refused(name: str, message: str, content: bytes | Image.Image) -> None:
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            content.save(path)
        with pytest.raises(ConfigError, match=message) as caught:
            checks.pictures([str(path)])
        assert str(tmp_path) not in str(caught.value)

    refused("broken.png", "may be damaged", good.read_bytes()[:60])
    refused("text.png", "may be damaged", b"no picture")
    refused("page.html", "is no picture", b"<p>")
    refused("tiny.png", "at least 16", Image.new("RGB", (8, 8)))
    refused("huge.png", "at most 20 million", Image.new("1", (5000, 5000)))
    with pytest.raises(ConfigError, match="no pictures were given"):
        checks.pictures([])
    with pytest.raises(ConfigError, match="13 pictures"):
        checks.pictures([str(good)] * 13)
