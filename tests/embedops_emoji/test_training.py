"""The recipe runs from end to end, and its pieces do what they say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from torch import nn

from embedops_emoji.evaluator import Evaluator
from embedops_emoji.training.cache import decode_scenes, encode_scenes
from embedops_emoji.training.optimizer import HybridOptimizer, orthogonalise
from embedops_emoji.training.sampling import Mix, sample_scene
from embedops_emoji.training.support import cosine, load_module
from embedops_emoji.training.tokenizer_training import learn_merges


def test_scene_codes_round_trip() -> None:
    rng = np.random.default_rng(0)
    mix = Mix(empty=0.2, half=0.2, posed=0.3)
    scenes = [sample_scene(rng, mix) for _ in range(200)]
    assert decode_scenes(encode_scenes(scenes)) == scenes


def test_orthogonalise_flattens_singular_values() -> None:
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalise(torch.randn(24, 80)))
    assert values.min() > 0.5
    assert values.max() < 1.5


def test_optimizer_fits_a_linear_map() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1))
    inputs = torch.randn(64, 8)
    targets = inputs.sum(1, keepdim=True).tanh()
    optimizer = HybridOptimizer(model, rate=0.02)
    losses = []
    for _ in range(80):
        loss = (model(inputs) - targets).square().mean()
        loss.backward()
        optimizer.step(1.0)
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.2 * losses[0]


def test_cosine_goes_from_one_to_its_floor() -> None:
    assert cosine(0.0) == 1.0
    assert cosine(2.0) == pytest.approx(0.02)
    assert cosine(0.25) > cosine(0.75)


def test_merges_make_the_wanted_words_whole() -> None:
    merges = learn_merges({"cat": 5, "car": 5, "rat": 1}, whole={"cat", "car"})
    made = {left + right for left, right in merges}
    assert {"cat</w>", "car</w>"} <= made
    assert "rat</w>" not in made


def test_missing_stage_result_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="run the stage that writes it first"):
        load_module(nn.Linear(1, 1), tmp_path / "vae.safetensors")


@pytest.mark.slow
def test_smoke_training_ends_in_a_pipeline(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "embedops_emoji.train", "--smoke", "--out", str(tmp_path)]
    subprocess.run(command, check=True, timeout=400)
    pipe = StableDiffusionPipeline.from_pretrained(tmp_path / "model", local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    image = pipe("a cat", num_inference_steps=2).images[0]
    assert image.size == (64, 64)
    assert len(Evaluator.load(folder=tmp_path / "model").read([image])) == 1
    assert (tmp_path / "model" / "measurement.json").is_file()
