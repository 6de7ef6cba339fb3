from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from families import qwen_image
from families.variants import reads_the_edited_text
from PIL import Image
from probe import say

import embedops
from embedops.testing import Case, Conformance

SIZE = {"height": 16, "width": 16}
GUIDED = {"true_cfg_scale": 4.0, "negative_prompt": ""}
IMAGE, MASK = Image.new("RGB", (16, 16), "orange"), Image.new("L", (16, 16), 255)


class TestQwenImage(Conformance):
    cases = (
        Case(
            "QwenImagePipeline",
            qwen_image.qwen_image,
            SIZE,
            guided=GUIDED,
            unguided={"true_cfg_scale": 1.0},
            per_row=("negative_prompt",),
        ),
    )


@pytest.mark.parametrize(
    ("build", "inputs"),
    [
        (qwen_image.qwen_image_img2img, {"image": IMAGE, "strength": 0.7}),
        (qwen_image.qwen_image_inpaint, {"image": IMAGE, "mask_image": MASK, "strength": 0.7}),
        (qwen_image.qwen_image_controlnet, {"control_image": IMAGE}),
        (
            qwen_image.qwen_image_controlnet_inpaint,
            {"control_image": IMAGE, "control_mask": MASK},
        ),
    ],
)
def test_variants(build: Callable[[], Any], inputs: dict[str, Any]) -> None:
    case = Case(
        build.__name__,
        build,
        {**SIZE, **inputs},
        guided=GUIDED,
        per_row=("negative_prompt",),
        steps=4,
    )
    reads_the_edited_text(case)


def test_a_controlnet_reads_what_the_transformer_reads() -> None:
    pipe = qwen_image.qwen_image_controlnet()
    read: dict[str, list[torch.Tensor]] = {"controlnet": [], "transformer": []}

    def note(name: str, kwargs: dict[str, Any]) -> None:
        read[name].append(kwargs["encoder_hidden_states"])

    with embedops.attach(pipe, say(start=0.4)):
        for name in read:
            getattr(pipe, name).register_forward_pre_hook(
                lambda _m, _a, kwargs, name=name: note(name, kwargs), with_kwargs=True
            )
        pipe(
            "a pistol on the beach",
            control_image=IMAGE,
            num_inference_steps=5,
            output_type="latent",
            **SIZE,
        )
    assert len(read["controlnet"]) == 5
    assert not torch.equal(read["controlnet"][0], read["controlnet"][-1])
    for ours, theirs in zip(read["controlnet"], read["transformer"], strict=True):
        assert torch.equal(ours, theirs)


def test_one_negative_text_for_all_prompts() -> None:
    pipe = qwen_image.qwen_image()

    def draw(prompts: list[str]) -> torch.Tensor:
        generator = [torch.Generator().manual_seed(seed) for seed in range(2)]
        settings = {**SIZE, "num_inference_steps": 3, "output_type": "latent"}
        return pipe(
            prompts, "the beach", true_cfg_scale=4.0, generator=generator, **settings
        ).images

    expected = draw(["a cat on the beach", "a dog"])
    with embedops.attach(pipe, say()):
        assert torch.equal(draw(["a pistol on the beach", "a dog"]), expected)


def test_several_pictures_of_prompts_of_different_length() -> None:
    """Upstream repeats the masks in another order than the states; ours go with their states."""
    pipe = qwen_image.qwen_image()
    read: list[torch.Tensor] = []
    with embedops.attach(pipe, say()):
        pipe.transformer.register_forward_pre_hook(
            lambda _m, _a, kwargs: read.append(kwargs["encoder_hidden_states_mask"]),
            with_kwargs=True,
        )
        pipe(
            ["a pistol", "a big red dog on the table under a tree by a boat"],
            num_images_per_prompt=2,
            num_inference_steps=1,
            output_type="latent",
            **SIZE,
        )
    said = len(pipe.tokenizer("a cat on the beach").input_ids)
    other = len(pipe.tokenizer("a big red dog on the table under a tree by a boat").input_ids)
    around = int(read[0][0].sum()) - said
    assert read[0][:2].sum(1).tolist() == [said + around] * 2
    assert read[0].shape[1] == other + around
