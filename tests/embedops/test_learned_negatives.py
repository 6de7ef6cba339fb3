"""A learned concept as what plugins steer away from."""

from __future__ import annotations

from typing import Any

import pytest
import tiny
import torch

import embedops
from embedops import Concept

PROMPT = "a red dog and a <toy>"


def concept(pipe: Any, seed: int = 0) -> Concept:
    width = pipe.text_encoder.get_input_embeddings().weight.shape[1]
    generator = torch.Generator().manual_seed(seed)
    return Concept("<toy>", {"text_encoder": torch.randn(2, width, generator=generator)})


def draw(pipe: Any) -> torch.Tensor:
    drawn = pipe(
        PROMPT,
        num_inference_steps=3,
        generator=torch.Generator().manual_seed(0),
        output_type="latent",
        height=16,
        width=16,
    )
    return torch.as_tensor(drawn[0])


PLUGINS: dict[str, dict[str, Any]] = {
    "safree": {"self_validation": False, "reach": "onward"},
    "decor": {},
    "redact": {},
}


@pytest.mark.parametrize("name", PLUGINS)
def test_what_was_learnt_is_what_is_steered_away_from(name: str) -> None:
    pipe = tiny.stable_diffusion()
    first, second = concept(pipe), concept(pipe, seed=1)
    plugin = embedops.plugin(name, phrases=["<toy>"], **PLUGINS[name])
    with embedops.attach(pipe) as session:
        session.add(first)
        plain = draw(pipe)
    with embedops.attach(pipe, plugin) as session:
        session.add(first)
        steered = draw(pipe)
        session.remove(first)
        session.add(second)
        other = draw(pipe)
        session.remove(second)
        session.add(first)
        assert torch.equal(draw(pipe), steered)
    assert not torch.allclose(steered, plain, atol=1e-4)
    # Redaction leaves nothing of either.
    assert torch.allclose(other, steered, atol=1e-4) == (name == "redact")


@pytest.mark.parametrize("name", PLUGINS)
def test_another_concept_under_the_same_name_is_not_mistaken_for_it(name: str) -> None:
    """What a plugin remembers of a placeholder goes when the placeholder changes its meaning."""
    pipe, fresh = tiny.stable_diffusion(), tiny.stable_diffusion()
    first, second = concept(pipe), concept(pipe, seed=1)
    with embedops.attach(
        pipe, embedops.plugin(name, phrases=["<toy>"], **PLUGINS[name])
    ) as session:
        session.add(first)
        draw(pipe)
        session.remove(first)
        session.add(second)
        found = draw(pipe)
    with embedops.attach(
        fresh, embedops.plugin(name, phrases=["<toy>"], **PLUGINS[name])
    ) as session:
        session.add(second)
        assert torch.equal(draw(fresh), found)
