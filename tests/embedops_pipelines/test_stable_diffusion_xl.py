from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from families import stable_diffusion_xl as sdxl
from families.variants import reads_the_edited_text
from PIL import Image

import embedops
from embedops.testing import Case, Conformance, read_as
from embedops_pipelines.encode_arguments import PROMPT_BREAK

SIZE = {"height": 16, "width": 16}
IMAGE, MASK = Image.new("RGB", (16, 16), "orange"), Image.new("L", (16, 16), 255)


class TestStableDiffusionXL(Conformance):
    cases = (Case("StableDiffusionXLPipeline", sdxl.stable_diffusion_xl, SIZE),)


@pytest.mark.parametrize(
    ("build", "inputs"),
    [
        (sdxl.img2img, {"image": [IMAGE] * 2, "strength": 0.8}),
        (sdxl.inpaint, {"image": [IMAGE] * 2, "mask_image": [MASK] * 2, "strength": 0.8, **SIZE}),
        (sdxl.controlnet, {"image": IMAGE, **SIZE}),
        (
            sdxl.controlnet_img2img,
            {"image": [IMAGE] * 2, "control_image": IMAGE, "strength": 0.8, **SIZE},
        ),
        (
            sdxl.controlnet_inpaint,
            {
                "image": [IMAGE] * 2,
                "mask_image": [MASK] * 2,
                "control_image": IMAGE,
                "strength": 0.8,
                **SIZE,
            },
        ),
    ],
)
def test_variants(build: Callable[[], Any], inputs: dict[str, Any]) -> None:
    reads_the_edited_text(Case(build.__name__, build, inputs, steps=5))


def draw(pipe: Any, prompt: str, **settings: Any) -> torch.Tensor:
    return pipe(
        prompt,
        num_inference_steps=3,
        generator=torch.Generator().manual_seed(0),
        output_type="latent",
        **SIZE,
        **settings,
    ).images


def test_both_prompts_of_a_row_are_examined_and_edited() -> None:
    pipe = sdxl.stable_diffusion_xl()
    expected = draw(pipe, "a photo of a cat")
    asked = {"prompt_2": "a photo of a pistol"}
    plain = draw(pipe, "a red table", **asked)
    assert not torch.equal(plain, draw(pipe, "a red table"))
    with embedops.attach(pipe, read_as()) as session:
        assert torch.equal(draw(pipe, "a red table", **asked), expected)
    assert session.report.steps[0] == (0, 1, 2)
    with embedops.attach(pipe, embedops.plugin("redact", phrases=["a pistol"])) as session:
        drawn = draw(pipe, "a red table", **asked)
    assert session.report.verdicts[0].flagged
    assert not torch.equal(drawn, plain)
    rewritten = session.report.verdicts[0].traces[0].text or ""
    first, _, second = rewritten.partition(PROMPT_BREAK)
    assert "pistol" not in rewritten
    assert second
    assert torch.equal(drawn, draw(pipe, first, prompt_2=second))


def test_the_refiner_has_the_second_encoder_alone() -> None:
    pipe = sdxl.img2img()
    pipe.register_modules(text_encoder=None, tokenizer=None)
    torch.manual_seed(0)
    pipe.unet = sdxl.unet(text=sdxl.SECOND)

    def run(prompt: str) -> torch.Tensor:
        return pipe(
            prompt,
            image=IMAGE,
            num_inference_steps=5,
            generator=torch.Generator().manual_seed(0),
            output_type="latent",
        ).images

    expected = run("a photo of a cat")
    with embedops.attach(pipe, read_as()):
        assert torch.equal(run("a photo of a pistol"), expected)
