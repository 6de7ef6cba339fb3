from __future__ import annotations

import torch
from families import lumina2
from probe import say

import embedops
from embedops.testing import Case, Conformance

INPUTS = {"height": 32, "width": 32, "max_sequence_length": 128}


class TestLumina2(Conformance):
    cases = (Case("Lumina2Pipeline", lumina2.lumina2, {**INPUTS, "system_prompt": "a drawing"}),)


def test_guidance_that_ends_before_the_last_step() -> None:
    pipe = lumina2.lumina2()

    def draw(prompt: str) -> torch.Tensor:
        return pipe(
            prompt,
            **INPUTS,
            cfg_trunc_ratio=0.5,
            num_inference_steps=4,
            generator=torch.Generator().manual_seed(0),
            output_type="latent",
        ).images

    before, expected = draw("a pistol on the beach"), draw("a cat on the beach")
    with embedops.attach(pipe, say()) as session:
        assert torch.equal(draw("a pistol on the beach"), expected)
        assert session.report.steps == ((0, 1, 2, 3),)
    assert torch.equal(draw("a pistol on the beach"), before)
