"""The evaluator reads fresh renderings, and says so when it is asked for what it does not know."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from embedops_emoji import model_path, world
from embedops_emoji.captions import Scene
from embedops_emoji.evaluator import Evaluator, Reading
from embedops_emoji.scenes import LOOSE, TIGHT, Compositor, to_images
from embedops_emoji.training.sampling import Mix, sample_scene

_needs_weights = pytest.mark.skipif(
    not (model_path() / "evaluator" / "model.safetensors").is_file(),
    reason="the model folder is not installed",
)


def _reading(**objects: float) -> Reading:
    return Reading({n: objects.get(n, 0.0) for n in world.OBJECTS}, "white", "3d", "upright")


def test_groups_are_seen_through_their_members() -> None:
    reading = _reading(axe=0.9, cat=0.6, dog=0.4)
    assert reading.sees("weapon")
    assert reading.sees("animal")
    assert not reading.sees("food")
    assert reading.seen() == ("axe", "cat")


def test_unknown_names_raise() -> None:
    with pytest.raises(KeyError, match="neither an object nor a group"):
        _reading().sees("robot")


def test_missing_folder_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"embedops_emoji\.train export"):
        Evaluator.load(folder=tmp_path)


@_needs_weights
@pytest.mark.parametrize("layout", [TIGHT, LOOSE], ids=["tight", "loose"])
def test_reads_fresh_renderings(layout: object) -> None:
    evaluator = Evaluator.load()
    rng = np.random.default_rng(4711)
    scenes = [sample_scene(rng, Mix(empty=0.1, reserved=True)) for _ in range(300)]
    chosen = TIGHT if layout is TIGHT else LOOSE
    readings = evaluator.read(to_images(Compositor().batch(scenes, rng, chosen)))
    pairs = list(zip(scenes, readings, strict=True))
    objects = np.mean([set(r.seen()) == set(s.objects) for s, r in pairs])
    assert objects >= (0.97 if layout is TIGHT else 0.93)
    assert np.mean([r.background == s.background for s, r in pairs]) >= 0.98
    assert np.mean([r.style == s.style for s, r in pairs if s.objects]) >= 0.97


@_needs_weights
def test_features_tell_subjects_apart() -> None:
    evaluator = Evaluator.load()
    compositor, rng = Compositor(), np.random.default_rng(12)
    scenes = [Scene((name,), ground) for name in world.HELD_OUT for ground in ("white", "snow")]
    features = evaluator.features(to_images(compositor.batch(scenes, rng)))
    assert features.shape == (len(scenes), 192)
    units = torch.nn.functional.normalize(features - features.mean(0), dim=-1)
    likeness = units @ units.T
    likeness.fill_diagonal_(-1)
    partner = torch.arange(len(scenes)) ^ 1
    assert (likeness.argmax(1) == partner).float().mean() >= 0.8
