from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from families import flux
from families.variants import reads_the_edited_text

from embedops import GuardError, attach
from embedops.testing import Case, Conformance, read_as
from embedops.testing.case import CAT, DOG, PISTOL

SIZE = {"height": 16, "width": 16, "max_sequence_length": 24}
GUIDED = {"true_cfg_scale": 4.0, "negative_prompt": ""}
IMAGE = {"image": torch.linspace(0, 1, 3 * 256).reshape(1, 3, 16, 16)}
CONTROL = {"control_image": IMAGE["image"]}
MASK = {"mask_image": torch.ones(1, 1, 16, 16)}
UNRESIZED = {"max_area": 256, "_auto_resize": False}

TEXT_TO_IMAGE = Case(
    "FluxPipeline",
    flux.flux,
    SIZE,
    guided=GUIDED,
    unguided={"true_cfg_scale": 1.0},
    per_row=("negative_prompt",),
)


class TestFlux(Conformance):
    cases = (TEXT_TO_IMAGE,)


@pytest.mark.parametrize(
    ("build", "inputs", "guided"),
    [
        (flux.flux_without_guidance_embedding, {}, True),
        (flux.flux_img2img, {**IMAGE, "strength": 0.7}, True),
        (flux.flux_inpaint, {**IMAGE, **MASK, "strength": 0.7}, True),
        (flux.flux_fill, {**IMAGE, **MASK}, False),
        (flux.flux_kontext, {**IMAGE, **UNRESIZED}, True),
        (flux.flux_kontext_inpaint, {**IMAGE, **MASK, **UNRESIZED, "strength": 0.7}, True),
        (flux.flux_control, CONTROL, False),
        (flux.flux_control_img2img, {**IMAGE, **CONTROL, "strength": 0.7}, False),
        (flux.flux_control_inpaint, {**IMAGE, **CONTROL, **MASK, "strength": 0.7}, False),
        (flux.flux_controlnet, CONTROL, True),
        (flux.flux_controlnet_img2img, {**IMAGE, **CONTROL, "strength": 0.7}, False),
        (flux.flux_controlnet_inpaint, {**IMAGE, **CONTROL, **MASK, "strength": 0.7}, False),
    ],
)
def test_variants(build: Callable[[], Any], inputs: dict[str, Any], guided: bool) -> None:
    reads_the_edited_text(
        Case(
            build.__name__,
            build,
            {**SIZE, **inputs},
            guided=GUIDED if guided else {},
            per_row=("negative_prompt",) if guided else (),
        )
    )


def test_a_controlnet_reads_what_the_transformer_reads() -> None:
    pipe = flux.flux_controlnet()
    names = ("encoder_hidden_states", "pooled_projections")
    read: dict[str, list[torch.Tensor]] = {"controlnet": [], "transformer": []}

    def note(name: str, kwargs: dict[str, Any]) -> None:
        read[name] += [kwargs[n] for n in names]

    with attach(pipe, read_as(start=0.5)):
        for name in read:
            getattr(pipe, name).register_forward_pre_hook(
                lambda _m, _a, kwargs, name=name: note(name, kwargs), with_kwargs=True
            )
        pipe([PISTOL], **CONTROL, **SIZE, num_inference_steps=4, output_type="latent")
    assert len(read["controlnet"]) == 4 * len(names)
    for ours, theirs in zip(read["controlnet"], read["transformer"], strict=True):
        assert torch.equal(ours, theirs)
    assert not torch.equal(read["controlnet"][0], read["controlnet"][-2])
    assert not torch.equal(read["controlnet"][1], read["controlnet"][-1])


def test_each_encoder_is_given_its_own_text() -> None:
    pipe, case = flux.flux(), TEXT_TO_IMAGE
    apart = {"prompt_2": [DOG, PISTOL]}
    before, expected = case.run(pipe, [PISTOL, CAT], **apart), case.run(pipe, [CAT, CAT])
    with attach(pipe, read_as(None)) as session:
        assert torch.equal(case.run(pipe, [PISTOL, CAT], **apart), before)
    assert [len(steps) for steps in session.report.steps] == [3, 3]
    with attach(pipe, read_as(CAT)):
        # A word in either text is found, and what is read instead is read by both encoders.
        assert torch.equal(case.run(pipe, [PISTOL, CAT], **apart), expected)


def test_a_negative_side_that_was_given_as_embeddings() -> None:
    pipe = flux.flux()
    embeds, pooled, _ = pipe.encode_prompt(["the beach"] * 2, max_sequence_length=24)
    ready = {
        "negative_prompt": None,
        "negative_prompt_embeds": embeds,
        "negative_pooled_prompt_embeds": pooled,
    }
    expected = TEXT_TO_IMAGE.run(pipe, [CAT, DOG], **ready)
    with attach(pipe, read_as()):
        assert torch.equal(TEXT_TO_IMAGE.run(pipe, [PISTOL, DOG], **ready), expected)


def test_embeddings_without_a_prompt_are_refused() -> None:
    pipe = flux.flux()
    embeds, pooled, _ = pipe.encode_prompt([PISTOL], max_sequence_length=24)
    with attach(pipe, read_as()), pytest.raises(GuardError, match="no prompt"):
        pipe(prompt_embeds=embeds, pooled_prompt_embeds=pooled, num_inference_steps=1, **SIZE)
