from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from families import flux, stable_diffusion_3
from PIL import Image

import embedops
from embedops import UnsupportedPipelineError
from embedops.families import adapter_for
from embedops.learning.method import Task
from embedops_textual_inversion import TextualInversion, TextualInversionConfig

PROMPTS = ["a photo of a cat on the beach", "a dog"]

Build = Callable[[], Any]
BUILDS: tuple[Build, ...] = (
    stable_diffusion_3.stable_diffusion_3,
    stable_diffusion_3.without_t5,
    flux.small_flux,
    flux.flux_without_guidance_embedding,
)
families = pytest.mark.parametrize("build", BUILDS, ids=lambda build: build.__name__)


def noisy_latents(pipe: Any, read: Mapping[str, Any]) -> torch.Tensor:
    """What the transformer was given, as the loop holds it."""
    given = torch.as_tensor(read["hidden_states"])
    if given.ndim == 4:
        return given
    return torch.as_tensor(pipe._unpack_latents(given, 16, 16, pipe.vae_scale_factor))


@families
def test_a_prediction_is_the_call_that_the_pipeline_makes(build: Build) -> None:
    pipe = build()
    read: list[dict[str, Any]] = []
    said: list[torch.Tensor] = []
    pipe.transformer.register_forward_pre_hook(
        lambda _module, _args, given: read.append(given), with_kwargs=True
    )
    pipe.transformer.register_forward_hook(lambda _module, _args, output: said.append(output[0]))
    pipe(PROMPTS, height=16, width=16, num_inference_steps=3, guidance_scale=1.0)
    assert len(read) == 3
    denoising = adapter_for(pipe).denoising()
    with torch.no_grad():
        bundle = denoising.read(PROMPTS)
        for step, t in enumerate(pipe.scheduler.timesteps):
            noisy = noisy_latents(pipe, read[step])
            predicted = denoising.predict(noisy, t.expand(len(PROMPTS)), bundle)
            ours = read[-1]
            given = {n: v for n, v in read[step].items() if isinstance(v, torch.Tensor)}
            assert given.keys() == {n for n, v in ours.items() if isinstance(v, torch.Tensor)}
            assert all(torch.equal(value, ours[name]) for name, value in given.items())
            assert torch.equal(predicted, noisy_latents(pipe, {"hidden_states": said[step]}))


@families
def test_latents_are_shifted_and_scaled(build: Build) -> None:
    pipe = build()
    pixels = torch.rand(1, 3, 16, 16) * 2 - 1
    with torch.no_grad():
        mean, spread = adapter_for(pipe).denoising().encode(pixels)
        found = pipe.vae.encode(pixels).latent_dist
        drawn = found.sample(torch.Generator().manual_seed(0))
    noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(0))
    expected = (drawn - pipe.vae.config.shift_factor) * pipe.vae.config.scaling_factor
    torch.testing.assert_close(mean + spread * noise, expected)


@families
def test_pictures_are_as_large_as_the_pipeline_draws(build: Build) -> None:
    pipe = build()
    assert pipe.default_sample_size * pipe.vae_scale_factor == adapter_for(pipe).denoising().size
    pipe.default_sample_size = 9  # latents are read in squares of two
    assert adapter_for(pipe).denoising().size == 8 * pipe.vae_scale_factor


@families
def test_every_encoder_gets_the_gradient_that_its_rows_have(build: Build) -> None:
    """The slope along each encoder's rows is what a small change of them makes of the loss."""
    pipe = build()
    adapter = adapter_for(pipe)
    denoising = adapter.denoising()
    method = TextualInversion(TextualInversionConfig(init="red cat", vectors=2))
    run = method.begin(Task(adapter, denoising, [], "<toy>", 0))
    assert run.parameters().keys() == adapter.tokenizers().keys()
    channels = pipe.vae.config.latent_channels
    noisy = torch.randn(2, channels, 8, 8, generator=torch.Generator().manual_seed(0))
    times = torch.tensor([300.0, 800.0])
    # In double precision, up to the prediction, so that small differences are seen.
    for name in ("transformer", *adapter.tokenizers()):
        getattr(pipe, name).double()

    def loss() -> torch.Tensor:
        bundle = run.read(["a <toy>", "a photo of a <toy> on the beach"], [0, 0])
        return denoising.predict(noisy, times, bundle).double().square().sum()

    slopes = torch.autograd.grad(loss(), list(run.parameters().values()))
    with torch.no_grad():
        for rows, slope in zip(run.parameters().values(), slopes, strict=True):
            length = float(slope.norm())
            assert float(slope.norm(dim=1).min()) > 0
            way = slope / length
            far = 1e-2 * float(rows.norm())
            rows += far * way
            above = float(loss())
            rows -= 2 * far * way
            below = float(loss())
            rows += far * way
            assert (above - below) / (2 * far) == pytest.approx(length, rel=0.1)
    run.close()


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "a.png"
    Image.new("RGB", (32, 32), "red").save(path)
    return path


RELATIVES: tuple[tuple[Build, Build], ...] = (
    (stable_diffusion_3.stable_diffusion_3, stable_diffusion_3.img2img),
    (stable_diffusion_3.stable_diffusion_3, stable_diffusion_3.controlnet),
    (stable_diffusion_3.stable_diffusion_3, stable_diffusion_3.controlnet_inpaint),
    (flux.flux, flux.flux_img2img),
    (flux.flux, flux.flux_inpaint),
    (flux.flux, flux.flux_kontext),
    (flux.flux, flux.flux_kontext_inpaint),
    (flux.flux, flux.flux_controlnet),
)


@pytest.mark.parametrize(("build", "relative"), RELATIVES, ids=lambda build: build.__name__)
def test_relatives_learn_what_the_text_to_image_pipeline_learns(
    build: Build, relative: Build, picture: Path, tmp_path: Path
) -> None:
    learnt = []
    for number, pipe in enumerate((build(), relative())):
        pipe.default_sample_size = 8
        out = tmp_path / str(number)
        concept = embedops.learn("cones", pipe, [picture], "<toy>", out=out, steps=2, init="cat")
        learnt.append(concept)
    assert learnt[0] == learnt[1]


@pytest.mark.parametrize(
    ("build", "read"),
    [
        (stable_diffusion_3.inpaint_beside_the_noise, 33),
        (flux.flux_fill, 6),
        (flux.flux_control, 2),
        (flux.flux_control_img2img, 2),
        (flux.flux_control_inpaint, 2),
    ],
)
def test_transformers_that_read_a_picture_too_are_refused(
    build: Build, read: int, picture: Path, tmp_path: Path
) -> None:
    with pytest.raises(UnsupportedPipelineError, match=f"reads {read} channels and the VAE gives"):
        embedops.learn("cross-init", build(), [picture], "<toy>", out=tmp_path / "out")
