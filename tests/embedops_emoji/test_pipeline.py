"""The shipped model loads offline, as plain diffusers, and draws what it is asked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionImg2ImgPipeline, StableDiffusionPipeline
from transformers import CLIPTextModel, CLIPTokenizer

import embedops_emoji
from embedops_emoji import world
from embedops_emoji.evaluator import Evaluator
from embedops_emoji.mini_clip import MiniClip
from embedops_emoji.recommended import LEARNING
from embedops_emoji.training.measure import acceptance_cases, generate, score, summarise

pytestmark = pytest.mark.skipif(
    not (embedops_emoji.model_path() / "model_index.json").is_file(),
    reason="the model folder is not installed",
)


@pytest.fixture(scope="module")
def pipe() -> StableDiffusionPipeline:
    loaded = embedops_emoji.load("cpu")
    loaded.set_progress_bar_config(disable=True)
    return loaded


@pytest.fixture(scope="module")
def evaluator() -> Evaluator:
    return Evaluator.load()


def test_it_is_an_unmodified_pipeline(pipe: StableDiffusionPipeline) -> None:
    assert type(pipe) is StableDiffusionPipeline
    assert type(pipe.text_encoder) is CLIPTextModel
    assert isinstance(pipe.tokenizer, CLIPTokenizer)
    assert isinstance(pipe.scheduler, DDIMScheduler)
    assert pipe.safety_checker is None
    assert pipe.unet.dtype == torch.float32


def test_plain_diffusers_loads_and_draws_it(pipe: StableDiffusionPipeline) -> None:
    plain = StableDiffusionPipeline.from_pretrained(embedops_emoji.model_path())
    plain.set_progress_bar_config(disable=True)
    ours, theirs = (
        np.asarray(
            p("a cat", num_inference_steps=2, generator=torch.Generator().manual_seed(0)).images[0]
        )
        for p in (pipe, plain)
    )
    assert np.array_equal(ours, theirs)


def test_loading_needs_no_network() -> None:
    code = (
        "import os, socket; os.environ['HF_HUB_OFFLINE'] = '1'\n"
        "def refuse(*args, **kwargs): raise OSError('no network here')\n"
        "socket.socket.connect = refuse\n"
        "import embedops_emoji; embedops_emoji.load('cpu')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600)


def test_importing_the_package_is_cheap() -> None:
    code = "import sys, embedops_emoji; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


def test_shipped_size_is_small() -> None:
    package = Path(embedops_emoji.__file__).parent
    shipped = [*(package / "weights").rglob("*"), *(package / "assets").rglob("*")]
    assert sum(p.stat().st_size for p in shipped if p.is_file()) <= 30_000_000


def test_text_encoder_pools_at_the_end_token_and_keeps_presets(
    pipe: StableDiffusionPipeline,
) -> None:
    config = pipe.text_encoder.config
    assert config.eos_token_id == pipe.tokenizer.eos_token_id != 2
    assert config.concept_presets == world.CONCEPT_PRESETS
    assert config.learning == LEARNING
    ids = pipe.tokenizer(["a cat"], padding="max_length", return_tensors="pt").input_ids
    with torch.no_grad():
        out = pipe.text_encoder(ids)
    assert torch.equal(out.pooler_output[0], out.last_hidden_state[0, 3])


def test_caption_words_are_single_tokens(pipe: StableDiffusionPipeline) -> None:
    for thing in world.OBJECTS.values():
        for word in " ".join(thing.nouns).split():
            assert pipe.tokenizer.tokenize(word) == [f"{word}</w>"]


def test_same_seed_same_picture(pipe: StableDiffusionPipeline) -> None:
    first, second = (generate(pipe, ["a cat on the beach"], seed=5, steps=4)[0] for _ in range(2))
    assert first.size == (64, 64)
    assert np.array_equal(np.asarray(first), np.asarray(second))


@pytest.mark.slow
def test_it_draws_what_it_is_asked(pipe: StableDiffusionPipeline, evaluator: Evaluator) -> None:
    # Guards against broken weights; the model card states the accuracy of the full measurement.
    cases = acceptance_cases(36)
    images = generate(pipe, [c.text for c in cases], seed=8)
    readings = evaluator.read(images)
    figures = summarise([score(c, r) for c, r in zip(cases, readings, strict=True)])
    assert figures["object"] > 0.8
    assert figures["background"] > 0.9
    assert figures["style"] > 0.75
    assert figures["both_objects"] > 0.5


def test_a_handful_of_prompts(pipe: StableDiffusionPipeline, evaluator: Evaluator) -> None:
    texts = ["a cat", "a pistol on the beach", "a flat apple at night", "a green meadow"]
    cat, pistol, apple, meadow = evaluator.read(generate(pipe, texts, seed=3))
    hits = [cat.sees("cat"), pistol.sees("weapon"), apple.sees("apple"), not meadow.seen()]
    assert sum(hits) >= 3
    assert pistol.background == "sandy beach"
    assert apple.background == "starry night"


def test_image_to_image_shares_the_parts(pipe: StableDiffusionPipeline) -> None:
    start = generate(pipe, ["a cat"], seed=1, steps=2)[0]
    other = StableDiffusionImg2ImgPipeline.from_pipe(pipe)
    other.set_progress_bar_config(disable=True)
    image = other("a dog", image=start, strength=0.6, num_inference_steps=4).images[0]
    assert image.size == (64, 64)


def test_mini_clip_matches_pictures_to_texts(pipe: StableDiffusionPipeline) -> None:
    from embedops_emoji.captions import Scene
    from embedops_emoji.scenes import Compositor
    from embedops_emoji.training.sampling import to_tensor

    clip = MiniClip.load(embedops_emoji.model_path())
    scenes = [Scene((name,), "white") for name in world.OBJECTS]
    pictures = Compositor().batch(scenes, np.random.default_rng(0))
    texts = [f"a picture of a {name} on white" for name in world.OBJECTS]
    ids = pipe.tokenizer(texts, padding="max_length", return_tensors="pt").input_ids
    with torch.no_grad():
        words = clip.text_features(pipe.text_encoder(ids).pooler_output)
        images = clip.image_features(to_tensor(pictures))
    best = (images @ words.T).argmax(1)
    assert (best == torch.arange(len(scenes))).float().mean() > 0.9
