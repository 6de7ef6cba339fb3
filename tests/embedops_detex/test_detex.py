from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from families import flux, stable_diffusion_xl
from PIL import Image, ImageDraw
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

import embedops
from embedops import Concept, ConfigError, UnsupportedPipelineError
from embedops.families import adapter_for
from embedops.learning.method import Run, Task
from embedops.learning.pictures import read_pictures
from embedops_detex import Detex, DetexConfig

QUICK: dict[str, Any] = {"steps": 4, "batch": 2, "init": "cat", "check_every": 2, "rank": 2}
MODES = ("overlay", "embeddings")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three pictures of a red disc on other grounds, with masks beside them."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, ground in (("a", "blue"), ("b", "green"), ("c", "white")):
        for suffix, disc, rest in (("", "red", ground), ("-mask", "white", "black")):
            image = Image.new("RGB", (32, 32), rest)
            ImageDraw.Draw(image).ellipse((2, 8, 16, 24), fill=disc)
            image.save(folder / f"{name}{suffix}.png")
    return folder


def begin(pipe: Any, pictures: Path, *, masks: bool = True, **config: Any) -> Run:
    adapter = adapter_for(pipe)
    denoising = adapter.denoising()
    given = read_pictures(pictures, denoising.size, pictures if masks else None)
    method = Detex(DetexConfig.model_validate({**QUICK, **config}))
    return method.begin(Task(adapter, denoising, given, "<toy>", 0))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("build", [tiny.stable_diffusion, stable_diffusion_xl.stable_diffusion_xl])
def test_subject_and_attributes_are_learnt_and_the_model_stays(
    mode: str, build: Any, pictures: Path, tmp_path: Path
) -> None:
    pipe = build()
    before = {n: p.detach().clone() for n, p in pipe.unet.named_parameters()}
    tokenizer = pipe.tokenizer
    out = tmp_path / "out"
    concept = embedops.learn(
        "detex", pipe, pictures, "<toy>", out=out, masks=pictures, mode=mode, alone=0.3, **QUICK
    )
    assert all(torch.equal(before[n], p) for n, p in pipe.unet.named_parameters())
    assert not any(m._forward_hooks for m in pipe.unet.modules())
    assert pipe.tokenizer is tokenizer
    assert Concept.load(out / "concept.safetensors") == concept
    tokens = {f"<toy-{a}-{n}>" for a in ("pose", "background") for n in (1, 2, 3)}
    assert set(concept.parts) == tokens
    assert concept.origin["parts"] == "1: a.png, 2: b.png, 3: c.png"
    assert bool(concept.overlay) == (mode == "overlay")
    ups = [t for n, t in concept.overlay.items() if n.endswith(".up")]
    assert all(bool(t.abs().sum() > 0) for t in ups)
    first, second = (concept.parts[f"<toy-pose-{n}>"]["text_encoder"] for n in (1, 2))
    assert not torch.equal(first, second)
    with embedops.attach(pipe) as session:
        session.add(concept)
        pipe("a <toy> with <toy-pose-2> pose", num_inference_steps=2, height=16, width=16)


@pytest.mark.parametrize("mode", MODES)
def test_a_stopped_run_goes_on_to_the_same_result(
    mode: str, pictures: Path, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {**QUICK, "mode": mode, "masks": pictures}
    pipe = tiny.stable_diffusion()
    whole = embedops.learn("detex", pipe, pictures, "<toy>", out=tmp_path / "whole", **settings)

    def stop(report: embedops.learning.loop.StepReport) -> None:
        if report.step == 2:
            raise KeyboardInterrupt

    half = tmp_path / "half"
    with pytest.raises(KeyboardInterrupt):
        embedops.learn("detex", pipe, pictures, "<toy>", out=half, on_step=stop, **settings)
    assert not any(m._forward_hooks for m in pipe.unet.modules())
    assert embedops.learn("detex", pipe, pictures, "<toy>", out=half, **settings) == whole


def test_checkpointing_learns_the_same(pictures: Path, tmp_path: Path) -> None:
    pipe = tiny.stable_diffusion()
    plain, again = (
        embedops.learn(
            "detex",
            pipe,
            pictures,
            "<toy>",
            out=tmp_path / str(checkpointing),
            masks=pictures,
            gradient_checkpointing=checkpointing,
            **QUICK,
        )
        for checkpointing in (False, True)
    )
    for name, tensor in plain.overlay.items():
        torch.testing.assert_close(again.overlay[name], tensor)
    torch.testing.assert_close(
        again.vectors["text_encoder"], plain.vectors["text_encoder"], atol=1e-5, rtol=1e-4
    )


def test_the_whole_or_the_subject_alone(pictures: Path) -> None:
    run = begin(tiny.stable_diffusion(), pictures, alone=0.25)
    rng = np.random.default_rng(0)
    asks = [run.ask(1, "a photo of a <Toy> here", rng) for _ in range(400)]
    run.close()
    alone = [ask for ask in asks if ask.mask is not None]
    assert 60 <= len(alone) <= 140
    assert {ask.text for ask in alone} == {"a photo of a <Toy> here"}
    assert {ask.text for ask in asks if ask.mask is None} == {
        "a photo of a <toy> with <toy-pose-2> pose in <toy-background-2> background here"
    }


@torch.no_grad()
def test_the_overlay_starts_as_nothing_and_acts_at_work_only(pictures: Path) -> None:
    pipe = tiny.stable_diffusion()
    denoising = adapter_for(pipe).denoising()
    noisy, times = torch.ones(1, 4, 8, 8), torch.tensor([500])

    def predicted(bundle: Any) -> torch.Tensor:
        return denoising.predict(noisy, times, bundle)

    expected = predicted(denoising.read(["a cat"]))
    run = begin(pipe, pictures)
    bundle = run.read(["a <toy>"], [0])
    with run.at_work():
        assert torch.equal(predicted(bundle), expected)
        for name, parameter in run.parameters().items():
            if name.endswith(".up"):
                parameter.fill_(1.0)
        assert not torch.allclose(predicted(bundle), expected, atol=1e-3)
    assert torch.equal(predicted(bundle), expected)
    run.close()


def test_the_attention_loss_pulls_the_subject_to_its_mask(pictures: Path) -> None:
    """Descending the penalty alone brings the subject's attention to the foreground."""
    pipe = tiny.stable_diffusion()
    denoising = adapter_for(pipe).denoising()
    run = begin(pipe, pictures, attention=1.0, rank=0)
    optimizer = torch.optim.Adam(run.parameters().values(), lr=0.02)
    noisy = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    penalties = []
    pipe.unet.requires_grad_(False)
    for _ in range(30):
        with run.at_work():
            denoising.predict(noisy, torch.tensor([300]), run.read(["a <toy>"], [0]))
            penalty = run.penalty()
            assert penalty is not None
            penalty.backward()
        optimizer.step()
        optimizer.zero_grad()
        penalties.append(float(penalty.detach()))
    run.close()
    assert penalties[-1] < 0.7 * penalties[0]


def test_masks_come_from_attention_where_none_are_given(pictures: Path, tmp_path: Path) -> None:
    pipe = tiny.stable_diffusion()
    run = begin(pipe, pictures, masks=False, alone=1.0)
    masks = [run.ask(n, "a <toy>", np.random.default_rng(0)).mask for n in range(3)]
    run.close()
    for mask in masks:
        assert mask is not None
        assert mask.shape == (1, 16, 16)
        assert set(mask.unique().tolist()) == {0.0, 1.0}
    concept = embedops.learn("detex", pipe, pictures, "<toy>", out=tmp_path / "out", **QUICK)
    assert "where the model looks for 'cat'" in concept.origin["notes"]


def test_clip_features_where_there_is_an_encoder(pictures: Path, tmp_path: Path) -> None:
    encoder = CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            image_size=32,
            patch_size=16,
            projection_dim=8,
        )
    )
    folder = tmp_path / "clip"
    encoder.save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=32).save_pretrained(folder)
    run = begin(tiny.stable_diffusion(), pictures, image_encoder=str(folder))
    weights = run.parameters()["mapper.pose.first.weight"]
    run.close()
    assert weights.shape[1] == 8
    assert "CLIP image features" in run.notes[0]
    with pytest.raises(ConfigError, match="cannot be loaded"):
        begin(tiny.stable_diffusion(), pictures, image_encoder=str(tmp_path / "nothing"))


def test_bad_input(pictures: Path, tmp_path: Path) -> None:
    def learn(pipe: Any, images: Any = pictures, **config: Any) -> Concept:
        return embedops.learn("detex", pipe, images, "<toy>", out=tmp_path / "out", **config)

    pipe = tiny.stable_diffusion()
    with pytest.raises(ConfigError, match="two or more"):
        learn(pipe, [pictures / "a.png"])
    with pytest.raises(ConfigError, match="exactly once"):
        learn(pipe, scene="{} in {background}")
    with pytest.raises(ConfigError, match="does not read to the end"):
        learn(pipe, scene="{} {pose} and a cat" + " and a cat" * 25 + " {background}")
    with pytest.raises(ConfigError, match="has no mask for"):
        learn(pipe, masks=tmp_path)
    with pytest.raises(ConfigError, match="overlay"):
        learn(pipe, mode="weights")
    with pytest.raises(UnsupportedPipelineError):
        learn(flux.flux())
    assert not any(m._forward_hooks for m in pipe.unet.modules())
