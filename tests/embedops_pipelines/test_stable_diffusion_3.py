from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from families import stable_diffusion_3 as sd3
from families.variants import reads_the_edited_text
from PIL import Image

import embedops
from embedops.testing import Case, Conformance, read_as

SIZE = {"height": 16, "width": 16}
SHORT = {**SIZE, "max_sequence_length": 32}
IMAGE, MASK = Image.new("RGB", (16, 16), "orange"), Image.new("L", (16, 16), 255)


class TestStableDiffusion3(Conformance):
    cases = (Case("StableDiffusion3Pipeline", sd3.stable_diffusion_3, SHORT),)


@pytest.mark.parametrize(
    ("build", "inputs"),
    [
        (sd3.without_t5, SHORT),
        (sd3.img2img, {"image": [IMAGE] * 2, "strength": 0.8, **SHORT}),
        (sd3.controlnet, {"control_image": IMAGE, **SHORT}),
        (sd3.controlnet_without_pooled, {"control_image": IMAGE, **SHORT}),
        (sd3.controlnet_without_states, {"control_image": IMAGE, **SHORT}),
        (
            sd3.controlnet_inpaint,
            {"control_image": IMAGE, "control_mask": MASK, **SHORT},
        ),
        (sd3.inpaint, {"image": [IMAGE] * 2, "mask_image": [MASK] * 2, "strength": 0.8, **SHORT}),
    ],
)
def test_variants(build: Callable[[], Any], inputs: dict[str, Any]) -> None:
    reads_the_edited_text(Case(build.__name__, build, inputs, steps=5))


def draw(pipe: Any, prompt: str, **settings: Any) -> torch.Tensor:
    return pipe(
        prompt,
        num_inference_steps=6,
        generator=torch.Generator().manual_seed(0),
        output_type="latent",
        **SHORT,
        **settings,
    ).images


def test_skipping_layers_is_no_step_of_its_own() -> None:
    pipe = sd3.stable_diffusion_3()
    skipping = {"skip_guidance_layers": [1], "skip_layer_guidance_stop": 1.0}
    expected = draw(pipe, "a photo of a cat", **skipping)
    assert not torch.equal(expected, draw(pipe, "a photo of a cat"))
    with embedops.attach(pipe, read_as()) as session:
        assert torch.equal(draw(pipe, "a photo of a pistol", **skipping), expected)
    assert session.report.steps[0] == tuple(range(6))

    def read_in_extra_passes(prompt: str) -> list[torch.Tensor]:
        texts: list[torch.Tensor] = []

        def note(_module: object, _args: object, kwargs: dict[str, Any]) -> None:
            if kwargs.get("skip_layers") is not None:
                texts.append(kwargs["encoder_hidden_states"])

        handle = pipe.transformer.register_forward_pre_hook(note, with_kwargs=True)
        draw(pipe, prompt, **skipping)
        handle.remove()
        return texts

    pistol = read_in_extra_passes("a photo of a pistol")
    cat = read_in_extra_passes("a photo of a cat")
    assert len(pistol) == len(cat) > 1
    with embedops.attach(pipe, read_as(start=0.5)):
        half = read_in_extra_passes("a photo of a pistol")
    edited = [torch.equal(text, cat[0]) for text in half]
    assert [torch.equal(text, pistol[0]) for text in half] == [not e for e in edited]
    assert edited == sorted(edited)
    assert edited[-1]


def test_each_of_three_prompts_is_examined() -> None:
    pipe = sd3.stable_diffusion_3()
    with embedops.attach(pipe, embedops.plugin("redact", phrases=["a pistol"])) as session:
        draw(pipe, "a cat", prompt_2="a dog", prompt_3="a photo of a pistol")
    assert session.report.verdicts[0].flagged
