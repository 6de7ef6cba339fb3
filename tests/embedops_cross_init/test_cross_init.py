from __future__ import annotations

from typing import Any

import pytest
import tiny
import torch
from families import flux, stable_diffusion_3

from embedops import ConfigError
from embedops.families import adapter_for
from embedops.learning.method import Task
from embedops_cross_init import CrossInit, CrossInitConfig


def task(pipe: Any) -> Task:
    adapter = adapter_for(pipe)
    return Task(adapter, adapter.denoising(), [], "<toy>", 0)


def start(pipe: Any, **config: Any) -> torch.Tensor:
    run = CrossInit(CrossInitConfig(**config)).begin(task(pipe))
    try:
        return run.concept({}).vectors["text_encoder"]
    finally:
        run.close()


def test_it_starts_from_what_the_encoder_says_of_the_words() -> None:
    pipe = tiny.stable_diffusion()
    text = pipe.tokenizer("red cat", padding="max_length", return_tensors="pt").input_ids
    expected = pipe.text_encoder(text).last_hidden_state[0, 1:3].detach()
    torch.testing.assert_close(start(pipe, init="red cat"), expected)


def test_names_are_averaged_place_by_place() -> None:
    pipe = tiny.stable_diffusion()
    table = pipe.text_encoder.get_input_embeddings().weight.detach()
    ids = [pipe.tokenizer(n, add_special_tokens=False).input_ids for n in ("red cat", "blue dog")]
    assert [len(i) for i in ids] == [2, 2]
    mean = torch.stack([table[i] for i in ids]).mean(0)
    pipe.load_textual_inversion({"<mean>": mean})
    text = pipe.tokenizer(
        pipe.maybe_convert_prompt("<mean>", pipe.tokenizer),
        padding="max_length",
        return_tensors="pt",
    ).input_ids
    expected = pipe.text_encoder(text).last_hidden_state[0, 1:3].detach()
    found = start(tiny.stable_diffusion(), names=("red cat", "blue dog"))
    torch.testing.assert_close(found, expected)
    with pytest.raises(ConfigError, match="one name has no mean"):
        start(pipe, names=("red cat",))


def test_the_pull_is_the_mean_distance_and_not_its_square() -> None:
    run = CrossInit(CrossInitConfig(init="red cat", pull=0.5)).begin(task(tiny.stable_diffusion()))
    (rows,) = run.parameters().values()
    with torch.no_grad():
        rows[0, 0] += 3.0
    penalty = run.penalty()
    run.close()
    assert penalty is not None
    assert float(penalty.detach()) == pytest.approx(0.5 * 3.0 / 2)


def test_an_output_of_another_scale_is_rescaled_and_the_log_says_so() -> None:
    pipe = tiny.stable_diffusion()
    norm = getattr(pipe.text_encoder, "text_model", pipe.text_encoder).final_layer_norm
    with torch.no_grad():
        norm.weight.mul_(1e6)
    run = CrossInit(CrossInitConfig(init="cat")).begin(task(pipe))
    found = run.concept({}).vectors["text_encoder"]
    run.close()
    usual = pipe.text_encoder.get_input_embeddings().weight.norm(dim=1).median()
    assert float(found.norm(dim=1).mean()) == pytest.approx(float(usual), rel=0.01)
    assert any("times as long" in note for note in run.notes)


@pytest.mark.parametrize(
    ("build", "name"),
    [
        (stable_diffusion_3.stable_diffusion_3, "text_encoder_3"),
        (flux.small_flux, "text_encoder_2"),
    ],
)
def test_t5_whose_output_is_far_shorter_than_its_vocabulary(build: Any, name: str) -> None:
    pipe = build()
    t5 = getattr(pipe, name)
    with torch.no_grad():
        t5.shared.weight.mul_(20)
        t5.encoder.final_layer_norm.weight.mul_(0.05)
    run = CrossInit(CrossInitConfig(init="red cat")).begin(task(pipe))
    found = run.concept({}).vectors
    run.close()
    usual = float(t5.shared.weight.norm(dim=1).median())
    assert float(found[name].norm(dim=1).mean()) == pytest.approx(usual, rel=1e-4)
    (note,) = run.notes
    assert note.startswith(f"{name}'s output is 0.00")
    ids = pipe.tokenizer("red cat", padding="max_length", return_tensors="pt").input_ids
    expected = pipe.text_encoder(ids).last_hidden_state[0, 1:3].detach()
    torch.testing.assert_close(found["text_encoder"], expected)
