from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import embedops_emoji
from embedops_emoji.captions import Scene
from embedops_emoji.evaluator import Reading
from embedops_emoji.motion import loader
from embedops_emoji.motion.clips import FRAMES, MOTION_WORDS, MOTIONS, Clip, sample_clip
from embedops_emoji.motion.judge import ClipJudge, ClipReading
from embedops_emoji.motion.parts import add_words, set_projections, set_rows, text_projections
from embedops_emoji.motion.train import EMBEDDINGS_FILE, SMOKE, train
from embedops_emoji.scenes import Compositor, to_images

CAT = Scene(("cat",), "snow")


def path(motion: str) -> list[tuple[int, int, int, int]]:
    placed = [Clip(CAT, motion).placements(frame)[0] for frame in range(FRAMES)]
    return [(p.x, p.y, p.size, p.angle) for p in placed]


def test_every_motion_is_what_it_says() -> None:
    x, y, size, angle = range(4)
    moves = {
        "rise": (y, -1),
        "fall": (y, 1),
        "right": (x, 1),
        "left": (x, -1),
        "grow": (size, 1),
        "shrink": (size, -1),
        "spin": (angle, 1),
    }
    assert {"still", *moves} == set(MOTIONS)
    for motion, (what, sign) in moves.items():
        steps = np.diff(np.array(path(motion)), axis=0)
        assert (sign * steps[:, what] > 0).all(), motion
        assert not np.delete(steps, what, axis=1).any(), motion
    assert len(set(path("still"))) == 1


def test_two_objects_have_no_room_to_move_aside() -> None:
    with pytest.raises(ValueError, match="no room"):
        Clip(Scene(("cat", "dog")), "right").draw(Compositor())
    rng, compositor = np.random.default_rng(0), Compositor()
    for _ in range(30):
        pair = sample_clip(rng, lambda: Scene(("cat", "dog")))
        assert pair.draw(compositor).shape == (FRAMES, 64, 64, 3)


def test_captions_name_object_motion_and_background() -> None:
    said = Clip(CAT, "fall").caption()
    assert "a cat falling" in said
    assert said.endswith("in the snow")
    assert "  " not in Clip(CAT, "still").caption()


@pytest.mark.parametrize("motion", list(MOTIONS))
@pytest.mark.parametrize("name", ["cat", "rocket", "pistol"])
def test_the_judge_reads_what_is_drawn(name: str, motion: str) -> None:
    judge = ClipJudge.load()
    scene = Scene((name,), "green meadow")
    frames = to_images(Clip(scene, motion, variant=3, jitter=(1, -1)).draw(Compositor()))
    assert judge.motion(frames, scene) == motion
    if motion in ("still", "fall", "right"):
        reading = judge.read([frames])[0]
        assert reading.sees(name)
        assert reading.background("green meadow") > 0.8


def reading(*names: str) -> Reading:
    return Reading({n: float(n in names) for n in ("cat", "pistol")}, "snow", "3d", "upright")


def test_a_clip_shows_what_most_of_its_frames_show() -> None:
    clip = ClipReading((reading("cat"), reading("cat", "pistol"), reading("cat"), reading()))
    assert clip.share("cat") == 0.75
    assert clip.share("pistol") == 0.25
    assert clip.seen() == ("cat",)
    assert clip.sees("cat")
    assert not clip.sees("pistol")
    assert clip.steadiness == 0
    assert ClipReading((reading("cat"),) * 3).steadiness == 1


def test_words_become_tokens_of_their_own() -> None:
    pipe = embedops_emoji.load("cpu")
    table = pipe.text_encoder.get_input_embeddings().weight.detach().clone()
    ids = add_words(pipe.tokenizer, pipe.text_encoder, MOTION_WORDS)
    assert pipe.tokenizer("flying").input_ids[1:-1] == [ids[0]]
    rows = torch.randn(len(ids), table.shape[1])
    set_rows(pipe.text_encoder, ids, rows)
    new = pipe.text_encoder.get_input_embeddings().weight
    assert torch.equal(new[ids], rows)
    assert torch.equal(new[: table.shape[0]], table)
    with pytest.raises(ValueError, match="already"):
        add_words(pipe.tokenizer, pipe.text_encoder, MOTION_WORDS)


def test_projections_of_another_denoiser_are_refused() -> None:
    pipe = embedops_emoji.load("cpu")
    weights = {f"{n}.weight": m.weight * 2 for n, m in text_projections(pipe.unet).items()}
    set_projections(pipe.unet, weights)
    assert all(
        torch.equal(m.weight, weights[f"{n}.weight"])
        for n, m in text_projections(pipe.unet).items()
    )
    weights.popitem()
    with pytest.raises(ValueError, match="this denoiser has"):
        set_projections(pipe.unet, weights)


def test_training_resumes_and_its_result_draws(tmp_path: Path) -> None:
    train(SMOKE, tmp_path)
    first = load_file(tmp_path / EMBEDDINGS_FILE)
    train(replace(SMOKE, steps=SMOKE.steps + 1), tmp_path)
    second = load_file(tmp_path / EMBEDDINGS_FILE)
    assert first.keys() == second.keys() == set(MOTION_WORDS)
    assert any(not torch.equal(first[word], second[word]) for word in MOTION_WORDS)
    pipe = loader.load("cpu", folder=tmp_path)
    pipe.set_progress_bar_config(disable=True)

    def draw(prompt: str) -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        settings = {"num_frames": FRAMES, "num_inference_steps": 2, "output_type": "latent"}
        return pipe(prompt, generator=generator, **settings).frames

    cat = draw("a cat falling in the snow")
    assert cat.shape == (1, 4, FRAMES, 16, 16)
    assert torch.equal(cat, draw("a cat falling in the snow"))
    assert not torch.equal(cat, draw("a cat in the snow"))


def test_what_is_shipped_is_small() -> None:
    folder = Path(loader.__file__).parent / "weights"
    sizes = [file.stat().st_size for file in folder.rglob("*") if file.is_file()]
    assert 1_000_000 < sum(sizes) < 5_000_000


def test_a_missing_adapter_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"embedops_emoji\.motion\.train"):
        loader.load("cpu", folder=tmp_path)


@pytest.mark.slow
def test_the_shipped_model_draws_what_it_is_told() -> None:
    pipe = loader.load("cpu")
    pipe.set_progress_bar_config(disable=True)
    asked = [
        ("a cat falling in a meadow", Scene(("cat",), "green meadow"), "fall"),
        ("a dog moving right in the snow", Scene(("dog",), "snow"), "right"),
        ("an apple on white", Scene(("apple",)), "still"),
    ]
    clips = pipe(
        [text for text, _, _ in asked],
        num_frames=FRAMES,
        num_inference_steps=20,
        guidance_scale=4.0,
        generator=[torch.Generator().manual_seed(seed) for seed in range(len(asked))],
    ).frames
    judge = ClipJudge.load()
    readings = judge.read(clips)
    for (text, scene, motion), clip, seen in zip(asked, clips, readings, strict=True):
        assert seen.sees(scene.objects[0]), text
        assert seen.background(scene.background) >= 0.5, text
        assert judge.motion(clip, scene) == motion, text
