from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tiny
import torch
from conftest import Draw
from diffusers import (
    ControlNetModel,
    DiffusionPipeline,
    MultiControlNetModel,
    StableDiffusionControlNetImg2ImgPipeline,
    StableDiffusionControlNetInpaintPipeline,
    StableDiffusionControlNetPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
)
from PIL import Image
from probe import say

import embedops
from embedops.testing import Case, Conformance

PROMPTS = ["a photo of a pistol", "a dog on the table"]
SAID = ["a cat on the beach", "a dog on the table"]


class TestStableDiffusion(Conformance):
    cases = (Case("StableDiffusionPipeline", tiny.stable_diffusion),)


IMAGE = Image.new("RGB", (16, 16), "orange")
MASK = Image.new("L", (16, 16), 255)


def family(pipe: Any) -> list[tuple[Any, dict[str, Any]]]:
    """Every pipeline of the family around one set of weights, with the inputs that it needs."""
    torch.manual_seed(1)
    control = ControlNetModel.from_unet(
        pipe.unet, conditioning_embedding_out_channels=(8, 16)
    ).eval()
    for parameter in control.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    two = MultiControlNetModel([control, control])
    shared = {"image": [IMAGE] * 2, "strength": 0.8}
    members = [
        (StableDiffusionImg2ImgPipeline.from_pipe(pipe), shared),
        (StableDiffusionInpaintPipeline.from_pipe(pipe), {**shared, "mask_image": [MASK] * 2}),
        (StableDiffusionControlNetPipeline.from_pipe(pipe, controlnet=control), {"image": IMAGE}),
        (
            StableDiffusionControlNetPipeline.from_pipe(pipe, controlnet=two),
            {"image": [IMAGE, IMAGE], "guess_mode": True},
        ),
        (
            StableDiffusionControlNetImg2ImgPipeline.from_pipe(pipe, controlnet=control),
            {**shared, "control_image": IMAGE},
        ),
        (
            StableDiffusionControlNetInpaintPipeline.from_pipe(pipe, controlnet=control),
            {**shared, "control_image": IMAGE, "mask_image": [MASK] * 2},
        ),
    ]
    for member, _ in members:
        member.set_progress_bar_config(disable=True)
    return members


@pytest.mark.parametrize("which", range(6))
def test_relatives_that_share_the_encoder(pipe: Any, draw: Draw, which: int) -> None:
    member, inputs = family(pipe)[which]
    before, expected = (
        draw(member, PROMPTS, steps=5, **inputs),
        draw(member, SAID, steps=5, **inputs),
    )
    with embedops.attach(member, say()) as session:
        steered = draw(member, PROMPTS, steps=5, **inputs)
    assert np.array_equal(steered, expected)
    assert np.array_equal(draw(member, PROMPTS, steps=5, **inputs), before)
    assert len(session.report.steps[0]) == member.num_timesteps
    assert session.report.steps[1] == ()


def test_a_controlnet_reads_what_the_unet_reads(pipe: Any, draw: Draw) -> None:
    member, inputs = family(pipe)[2]
    seen: dict[str, list[torch.Tensor]] = {"unet": [], "controlnet": []}
    for name, texts in seen.items():
        getattr(member, name).register_forward_pre_hook(
            lambda _m, _a, kwargs, texts=texts: texts.append(kwargs["encoder_hidden_states"]),
            with_kwargs=True,
        )
    with embedops.attach(member, say(start=0.4)):
        # Hooks run in the order they were made: these would see the texts before the session's.
        for name in seen:
            hooks = getattr(member, name)._forward_pre_hooks
            hooks.move_to_end(next(iter(hooks)))
        draw(member, PROMPTS, steps=5, **inputs)
    assert len(seen["unet"]) == 5
    for ours, theirs in zip(seen["unet"], seen["controlnet"], strict=True):
        assert torch.equal(ours, theirs)
    assert torch.equal(seen["unet"][0], seen["unet"][1])
    assert not torch.equal(seen["unet"][1], seen["unet"][2])


def test_a_saved_pipeline_is_loaded_by_path(pipe: Any, draw: Draw, tmp_path: Any) -> None:
    pipe.text_encoder.config.concept_presets = {"weapons": ["a pistol", "a knife"]}
    pipe.save_pretrained(tmp_path)
    loaded = embedops.load(str(tmp_path), device="cpu")
    loaded.set_progress_bar_config(disable=True)
    assert isinstance(loaded, DiffusionPipeline)
    with embedops.attach(loaded, say()):
        assert np.array_equal(draw(loaded, PROMPTS), draw(pipe, SAID))
    presets = embedops.adapters()["stable-diffusion"](loaded).encoder().presets
    assert presets == {"weapons": ("a pistol", "a knife")}


def test_a_model_that_is_nowhere_is_refused(tmp_path: Any) -> None:
    with pytest.raises(embedops.ConfigError, match="Give an installed model"):
        embedops.load(str(tmp_path / "nothing"))


def test_lora_scale_of_the_call_reaches_the_examination(pipe: Any, draw: Draw) -> None:
    from peft import LoraConfig

    pipe.text_encoder.add_adapter(
        LoraConfig(r=2, lora_alpha=8, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    )
    pipe.text_encoder._hf_peft_config_loaded = True
    scaled = {"cross_attention_kwargs": {"scale": 0.3}}
    expected = draw(pipe, SAID, **scaled)
    assert not np.array_equal(expected, draw(pipe, SAID))
    with embedops.attach(pipe, say()):
        assert np.array_equal(draw(pipe, PROMPTS, **scaled), expected)


def test_a_compiled_denoiser_is_not_recompiled_by_a_session(pipe: Any, draw: Draw) -> None:
    graphs = 0

    def count(graph: torch.fx.GraphModule, _inputs: object) -> Any:
        nonlocal graphs
        graphs += 1
        return graph.forward

    pipe.unet = torch.compile(pipe.unet, backend=count)
    expected = draw(pipe, SAID)
    compiled = graphs
    assert compiled > 0
    with embedops.attach(pipe, say(stop=0.5)):
        draw(pipe, PROMPTS)
    with embedops.attach(pipe, say()):
        steered = draw(pipe, PROMPTS)
    assert graphs == compiled
    assert np.array_equal(steered, expected)


def test_two_thousand_tokens(pipe: Any, draw: Draw) -> None:
    text = " ".join(["cat"] * 1000 + ["pistol"] + ["dog"] * 999)
    found = embedops.adapters()["stable-diffusion"](pipe).encoder()
    loo = found.leave_one_out(found.encode([text]))["text_encoder"][0]
    assert len(loo.tokens) == 2000
    with embedops.attach(pipe, say(where="nowhere")) as session:
        draw(pipe, text, steps=1)
    assert session.report.verdicts[0].checked
