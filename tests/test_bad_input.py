"""What every plugin makes of input that nobody hopes for: the right result or a clear error."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from conftest import Draw

import embedops
from embedops import ConfigError, EmbedopsError, GuardError

STACKS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "safree": [("safree", {"phrases": ["pistol", "knife"]})],
    "safree paper": [
        ("safree", {"phrases": ["pistol", "knife"], "variant": "paper", "self_validation": False})
    ],
    "re-attention": [("safree", {"phrases": ["pistol"], "re_attention": True})],
    "redact": [("redact", {"phrases": ["pistol", "knife"]})],
    "decor": [("decor", {"phrases": ["pistol"]})],
    "all": [
        ("redact", {"phrases": ["pistol"]}),
        ("safree", {"phrases": ["pistol"]}),
        ("decor", {"phrases": ["pistol"]}),
    ],
}


@pytest.fixture(params=STACKS)
def stack(request: pytest.FixtureRequest) -> list[Any]:
    return [embedops.plugin(name, **config) for name, config in STACKS[request.param]]


PROMPTS = {
    "empty": "",
    "blank": "   ",
    "one word": "pistol",
    "one harmless word": "cat",
    "emoji": "🔫 and 🐱 on the beach",
    "right to left": "مسدس على الطاولة, אקדח על השולחן",
    "joined emoji": "👩‍👩‍👧‍👦 with a pistol",
    "only marks": "!!! ... ???",
    "control characters": "a pistol\u0000\u200b\u202e on the table",
    "end token": "a cat <|endoftext|> a pistol",
    "start token": "<|startoftext|><|startoftext|>",
    "braces": "a {pistol} (red:1.5) [cat] \\n %s",
    "very long": "a cat on the table " * 60 + "pistol",
}


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS.keys())
def test_odd_prompts(pipe: Any, draw: Draw, stack: list[Any], prompt: str) -> None:
    before = draw(pipe, [prompt, "a dog"], steps=2)
    with embedops.attach(pipe, *stack) as session:
        steered = draw(pipe, [prompt, "a dog"], steps=2)
    assert np.isfinite(steered).all()
    assert [v.prompt for v in session.report.verdicts] == [prompt, "a dog"]
    assert all(v.checked and v.flagged is not None for v in session.report.verdicts)
    for row, steps in enumerate(session.report.steps):
        if not steps:
            assert np.array_equal(steered[row], before[row])
    assert np.array_equal(draw(pipe, [prompt, "a dog"], steps=2), before)


@pytest.mark.parametrize(
    "settings",
    [
        {"guidance_scale": 1.0},
        {"negative_prompt": "snow " * 200},
        {"num_images_per_prompt": 3},
        {"num_inference_steps": 1},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_odd_settings(pipe: Any, draw: Draw, stack: list[Any], settings: dict[str, Any]) -> None:
    settings = {"steps": 2, **settings}
    if "num_inference_steps" in settings:
        settings.pop("steps")
        settings["steps"] = settings.pop("num_inference_steps")
    before = draw(pipe, "a pistol on the table", **settings)
    with embedops.attach(pipe, *stack):
        steered = draw(pipe, "a pistol on the table", **settings)
    assert np.isfinite(steered).all()
    assert not np.array_equal(steered, before)
    assert np.array_equal(draw(pipe, "a pistol on the table", **settings), before)


def test_embeddings_without_a_prompt(pipe: Any, stack: list[Any]) -> None:
    with torch.no_grad():
        embeds, negative = pipe.encode_prompt(["a pistol"], "cpu", 1, True)
    with (
        embedops.attach(pipe, *stack),
        pytest.raises(GuardError, match=r"policy='allow-unchecked'"),
    ):
        pipe(prompt_embeds=embeds, negative_prompt_embeds=negative, num_inference_steps=1)


def test_embeddings_that_are_not_finite(pipe: Any, draw: Draw, stack: list[Any]) -> None:
    with torch.no_grad():
        pipe.text_encoder.final_layer_norm.weight[3] = float("inf")
    with embedops.attach(pipe, *stack), pytest.raises(GuardError, match=r"NaN or infinity"):
        draw(pipe, "a pistol", steps=1)


@pytest.mark.parametrize("name", ["safree", "redact", "decor"])
def test_no_concepts_on_purpose(pipe: Any, draw: Draw, name: str) -> None:
    before = draw(pipe, "a pistol", steps=2)
    with embedops.attach(pipe, embedops.plugin(name, concepts=[], phrases=[])) as session:
        assert np.array_equal(draw(pipe, "a pistol", steps=2), before)
    assert session.report.verdicts[0].flagged is False


@pytest.mark.parametrize("name", ["safree", "redact", "decor"])
def test_no_concepts_by_mistake(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        embedops.plugin(name)


@pytest.mark.parametrize("name", ["safree", "redact", "decor"])
@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"concepts": "weapon"}, "did you mean 'weapons'"),
        ({"phrases": [" "]}, "is blank"),
        ({"phrases": ["gun"], "strenght": 1.0}, "did you mean 'strength'"),
        ({"phrases": ["gun"], "strength": float("nan")}, "strength"),
        ({"phrases": ["gun"], "strength": -1}, "strength"),
        ({"phrases": 3}, "phrases"),
    ],
)
def test_wrong_settings(pipe: Any, name: str, config: dict[str, Any], message: str) -> None:
    with pytest.raises(EmbedopsError, match=message):
        embedops.screen(pipe, "a pistol", embedops.plugin(name, **config))


@pytest.mark.parametrize("name", ["safree", "redact", "decor"])
def test_strength_0_is_bit_identical(pipe: Any, draw: Draw, name: str) -> None:
    before = draw(pipe, ["a pistol", "a cat"], steps=3)
    plugin = embedops.plugin(name, phrases="pistol", strength=0.0)
    with embedops.attach(pipe, plugin):
        assert np.array_equal(draw(pipe, ["a pistol", "a cat"], steps=3), before)
