"""The compositor draws what the scene says."""

from __future__ import annotations

import numpy as np
import pytest

from embedops_emoji import world
from embedops_emoji.captions import Scene
from embedops_emoji.scenes import IMAGE_SIZE, Compositor
from embedops_emoji.sprites import SPRITE_SIZE, load_atlas


@pytest.fixture(scope="module")
def compositor() -> Compositor:
    return Compositor()


def test_atlas_holds_every_object_in_every_style() -> None:
    atlas = load_atlas()
    assert set(atlas) == {(n, s) for n in world.ALL_OBJECTS for s in world.STYLES}
    for sprite in atlas.values():
        assert sprite.size == (SPRITE_SIZE, SPRITE_SIZE)
        coverage = np.asarray(sprite.getchannel("A"), np.float32).mean() / 255
        assert 0.05 < coverage < 0.95


def test_same_seed_same_picture(compositor: Compositor) -> None:
    scene = Scene(("cat", "axe"), "sunset", "flat")
    first = compositor.draw(scene, np.random.default_rng(3))
    second = compositor.draw(scene, np.random.default_rng(3))
    assert first.shape == (IMAGE_SIZE, IMAGE_SIZE, 3)
    assert np.array_equal(first, second)


def test_pair_stands_left_and_right(compositor: Compositor) -> None:
    half = IMAGE_SIZE // 2
    rng = np.random.default_rng(4)
    _, left = compositor.draw_with_mask(Scene(("apple", None)), rng)
    _, right = compositor.draw_with_mask(Scene((None, "apple")), rng)
    assert left[:, :half].sum() > 20 * left[:, half:].sum()
    assert right[:, half:].sum() > 20 * right[:, :half].sum()


def test_mask_marks_exactly_what_differs_from_the_background(compositor: Compositor) -> None:
    picture, mask = compositor.draw_with_mask(Scene(("bomb",), "white"), np.random.default_rng(5))
    assert np.all(picture[mask == 0] == 255)
    assert np.any(picture[mask == 255] < 200)


def test_three_objects_are_refused(compositor: Compositor) -> None:
    with pytest.raises(ValueError, match="at most 2 slots, got 3"):
        compositor.draw(Scene(("cat", "dog", "owl")), np.random.default_rng(0))
