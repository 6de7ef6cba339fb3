from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from embedops import TokenTrace, Trace, Verdict, Window
from embedops.app import marks

EVIL = "<img src=x onerror=alert(1)>\"'${alert(1)}"


def token(text: str, score: float, threshold: float, triggered: bool) -> TokenTrace:
    return TokenTrace(text, "text_encoder", 1, score, threshold, triggered)


def verdict(*tokens: TokenTrace, prompt: str = "a gun", text: str | None = None) -> Verdict:
    flagged = any(one.triggered for one in tokens)
    window = Window(0.0, 0.25) if flagged else None
    trace = Trace("guard", flagged, window, tokens, text=text)
    return Verdict(prompt, True, flagged, (window,) if window else (), (trace,))


def test_triggers_are_marked_by_more_than_colour() -> None:
    page = marks.tokens(verdict(token("a", 0.1, 0.5, False), token("gun", 0.9, 0.5, True)), 8)
    assert page.count("eo-hit") == 1
    assert "▲ 0.90" in page
    assert "gun: 0.90, threshold 0.50, triggers." in page
    assert "2 of 8 steps filtered" in page
    assert page.count("<i class=on>") == 2
    assert page.count("<i") == 8


def test_what_visitors_wrote_is_escaped() -> None:
    page = marks.tokens(verdict(token(EVIL, 0.9, 0.5, True), prompt=EVIL, text=EVIL), 4)
    page += marks.said(EVIL, "bad") + marks.empty(EVIL)
    tile = marks.Tile([Image.new("RGB", (4, 4))], EVIL, [EVIL])
    page += marks.shelves([marks.Shelf(EVIL, [tile], EVIL)], EVIL)
    assert "<img src=x" not in page
    assert 'alt="<' not in page


@pytest.mark.parametrize("above", [True, False])
def test_nearness_follows_the_side_that_triggers(above: bool) -> None:
    sign = 1 if above else -1
    found = [
        token("far", -3.0 * sign, 1.0 * sign, False),
        token("near", 0.9 * sign, 1.0 * sign, False),
        token("hit", 2.0 * sign, 1.0 * sign, True),
    ]
    far, near, hit = marks.nearness(found)
    assert 0 <= far < near < 0.5 < hit <= 1


def test_without_a_threshold_the_share_itself_is_shown() -> None:
    found = [token("a", 0.1, 0.0, False), token("b", 0.4, 0.0, False)]
    assert marks.nearness(found) == [0.25, 1.0]
    assert "share of each token" in marks.tokens(verdict(*found), 4)


def decoded(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_small_pictures_are_sent_without_loss() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    uri = marks.data_uri([Image.fromarray(pixels)])
    assert uri.startswith("data:image/png;base64,")
    assert np.array_equal(np.asarray(decoded(uri)), pixels)


def test_clips_move() -> None:
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "green", "blue")]
    moving = decoded(marks.data_uri(frames))
    assert moving.n_frames == 3  # type: ignore[attr-defined]
    assert moving.size == (256, 256)
