from __future__ import annotations

import threading
import weakref
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from conftest import Draw
from diffusers import (
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    UniPCMultistepScheduler,
)
from probe import say

import embedops
from embedops import AttachError, ConfigError, GuardError
from embedops.testing.read_as import Question

PROMPTS = ["a photo of a pistol", "a dog on the table", "a pistol with a red apple"]
SAID = ["a cat on the beach", "a dog on the table", "a cat on the beach"]


def hooks(pipe: Any) -> int:
    """Hooks anywhere in the pipeline's models."""
    modules = [m for model in (pipe.unet, pipe.text_encoder, pipe.vae) for m in model.modules()]
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in modules)


def test_every_step_equals_a_call_with_the_other_prompts(pipe: Any, draw: Draw) -> None:
    expected = draw(pipe, SAID)
    plain = draw(pipe, PROMPTS)
    with embedops.attach(pipe, say()):
        steered = draw(pipe, PROMPTS)
    assert np.array_equal(steered, expected)
    assert np.array_equal(steered[1], plain[1])
    assert np.abs(steered - plain).max() > 1e-3


def test_detaching_leaves_no_trace(pipe: Any, draw: Draw) -> None:
    before, attributes = draw(pipe, PROMPTS), set(vars(pipe))
    session = embedops.attach(pipe, say())
    draw(pipe, PROMPTS)
    assert hooks(pipe) > 0
    session.detach()
    session.detach()
    assert hooks(pipe) == 0
    assert set(vars(pipe)) - attributes <= {"_num_timesteps"}
    assert type(pipe) is StableDiffusionPipeline
    assert np.array_equal(draw(pipe, PROMPTS), before)


def test_no_plugin_and_untouched_prompts_are_bit_identical(pipe: Any, draw: Draw) -> None:
    before = draw(pipe, PROMPTS)
    with embedops.attach(pipe):
        assert np.array_equal(draw(pipe, PROMPTS), before)
    with embedops.attach(pipe, say(where="nowhere")):
        assert np.array_equal(draw(pipe, PROMPTS), before)


def test_a_batch_equals_single_calls(pipe: Any) -> None:
    def latents(prompt: str | list[str], noise: torch.Tensor) -> torch.Tensor:
        return pipe(prompt, latents=noise, num_inference_steps=3, output_type="latent").images

    noise = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    with embedops.attach(pipe, say(stop=0.5)):
        together = latents(PROMPTS, noise)
        alone = [latents(p, noise[i : i + 1]) for i, p in enumerate(PROMPTS)]
    # Kernels for other batch sizes sum in another order.
    torch.testing.assert_close(together, torch.cat(alone), atol=2e-4, rtol=1e-3)


def test_several_images_a_prompt(pipe: Any, draw: Draw) -> None:
    expected = draw(pipe, SAID, num_images_per_prompt=2)
    with embedops.attach(pipe, say()) as session:
        steered = draw(pipe, PROMPTS, num_images_per_prompt=2)
    assert np.array_equal(steered, expected)
    assert len(session.report.verdicts) == 3


def test_guidance_off_and_negative_prompts(pipe: Any, draw: Draw) -> None:
    for settings in (
        {"guidance_scale": 1.0},
        {"negative_prompt": ["snow"] * 3},
        {"negative_prompt": ["snow", "a red house over the river", ""]},
    ):
        expected = draw(pipe, SAID, **settings)
        with embedops.attach(pipe, say()):
            assert np.array_equal(draw(pipe, PROMPTS, **settings), expected)


def test_a_plugin_may_change_what_guidance_avoids(pipe: Any, draw: Draw) -> None:
    expected = draw(pipe, "a cat on the beach", negative_prompt="a gun")
    with embedops.attach(pipe, say(negative="a gun")):
        steered = draw(pipe, "a photo of a pistol", negative_prompt="snow")
    assert np.array_equal(steered, expected)


def trajectory(pipe: Any, prompt: str, steps: int) -> list[torch.Tensor]:
    seen: list[torch.Tensor] = []

    def keep(_pipe: object, _step: int, _time: object, values: dict[str, Any]) -> dict[str, Any]:
        seen.append(values["latents"].clone())
        return values

    generator = torch.Generator().manual_seed(3)
    pipe(prompt, num_inference_steps=steps, generator=generator, callback_on_step_end=keep)
    return seen


@pytest.mark.parametrize("start", [0.25, 0.5])
def test_steps_before_a_window_are_bit_identical(pipe: Any, start: float) -> None:
    plain = trajectory(pipe, PROMPTS[0], 8)
    with embedops.attach(pipe, say(start=start)) as session:
        steered = trajectory(pipe, PROMPTS[0], 8)
    first = int(start * 8)
    assert session.report.steps == (tuple(range(first, 8)),)
    assert all(torch.equal(a, b) for a, b in zip(plain[:first], steered[:first], strict=True))
    assert not torch.equal(plain[first], steered[first])


@pytest.mark.parametrize(
    "scheduler",
    [
        PNDMScheduler,
        HeunDiscreteScheduler,
        DPMSolverMultistepScheduler,
        UniPCMultistepScheduler,
        EulerDiscreteScheduler,
    ],
)
def test_any_sampler(pipe: Any, draw: Draw, scheduler: type[Any]) -> None:
    pipe.scheduler = scheduler.from_config(pipe.scheduler.config)
    expected = draw(pipe, SAID, steps=6)
    with embedops.attach(pipe, say()) as session:
        assert np.array_equal(draw(pipe, PROMPTS, steps=6), expected)
        total = session.report.total
        assert total == pipe.num_timesteps
        assert session.report.steps == (tuple(range(total)), (), tuple(range(total)))


def test_plugins_compose_in_order(pipe: Any, draw: Draw) -> None:
    expected = draw(pipe, "a boat on the river")
    chain = say(instead="a gun"), say(where="gun", instead="a boat on the river")
    with embedops.attach(pipe, *chain):
        assert np.array_equal(draw(pipe, "a photo of a pistol"), expected)


def test_an_exception_in_the_middle_leaves_no_trace(pipe: Any, draw: Draw) -> None:
    before = draw(pipe, PROMPTS)

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    session = embedops.attach(pipe, say())
    with pytest.raises(KeyboardInterrupt), session:
        draw(pipe, PROMPTS, callback_on_step_end=fail)
    assert not session.attached
    assert hooks(pipe) == 0
    assert np.array_equal(draw(pipe, PROMPTS), before)


def test_a_call_after_an_interrupted_one_is_steered_right(pipe: Any, draw: Draw) -> None:
    expected = draw(pipe, SAID)

    def fail(*_: object) -> None:
        raise RuntimeError("stop")

    with embedops.attach(pipe, say(stop=0.9)), pytest.raises(RuntimeError, match="stop"):
        draw(pipe, PROMPTS, callback_on_step_end=fail)
    with embedops.attach(pipe, say()):
        with pytest.raises(RuntimeError, match="stop"):
            draw(pipe, PROMPTS, callback_on_step_end=fail)
        assert np.array_equal(draw(pipe, PROMPTS), expected)


def test_attaching_twice_is_refused_and_changes_nothing(pipe: Any, draw: Draw) -> None:
    expected = draw(pipe, SAID)
    with embedops.attach(pipe, say()):
        count = hooks(pipe)
        with pytest.raises(AttachError, match="has a session already"):
            embedops.attach(pipe, say())
        assert hooks(pipe) == count
        assert np.array_equal(draw(pipe, PROMPTS), expected)


def test_a_detached_session_cannot_be_entered(pipe: Any) -> None:
    session = embedops.attach(pipe, say())
    session.detach()
    with pytest.raises(AttachError, match="was detached"):
        session.__enter__()
    with pytest.raises(AttachError, match="no report yet"):
        _ = session.report


def test_embeddings_without_a_prompt_fail_closed(pipe: Any, draw: Draw) -> None:
    embeds, negative = pipe.encode_prompt(["a photo of a pistol"], "cpu", 1, True)
    given = {"prompt_embeds": embeds.detach(), "negative_prompt_embeds": negative.detach()}
    plain = pipe(
        **given, num_inference_steps=2, generator=torch.Generator().manual_seed(0), output_type="np"
    ).images
    with embedops.attach(pipe, say()), pytest.raises(GuardError, match="no prompt"):
        pipe(**given, num_inference_steps=2)
    with embedops.attach(pipe, say(), policy="allow-unchecked") as session:
        passed = pipe(
            **given,
            num_inference_steps=2,
            generator=torch.Generator().manual_seed(0),
            output_type="np",
        ).images
    assert np.array_equal(passed, plain)
    verdict = session.report.verdicts[0]
    assert verdict.checked is False
    assert verdict.flagged is None


def test_negative_embeddings_with_a_text_prompt(pipe: Any, draw: Draw) -> None:
    _, negative = pipe.encode_prompt("x", "cpu", 1, True, negative_prompt="snow")
    expected = draw(pipe, "a cat on the beach", negative_prompt_embeds=negative.detach())
    with embedops.attach(pipe, say()):
        steered = draw(pipe, "a photo of a pistol", negative_prompt_embeds=negative.detach())
    assert np.array_equal(steered, expected)


def test_nan_embeddings_fail_closed(pipe: Any, draw: Draw) -> None:
    with torch.no_grad():
        pipe.text_encoder.final_layer_norm.bias[0] = float("nan")
    with embedops.attach(pipe, say()), pytest.raises(GuardError, match="NaN or infinity"):
        draw(pipe, PROMPTS)


def test_embeddings_that_a_callback_changes_fail_closed(pipe: Any, draw: Draw) -> None:
    def sneak(_pipe: object, _step: int, _time: object, values: dict[str, Any]) -> dict[str, Any]:
        return {**values, "prompt_embeds": values["prompt_embeds"] + 1.0}

    with embedops.attach(pipe, say()), pytest.raises(GuardError, match="never examined"):
        draw(
            pipe,
            PROMPTS,
            callback_on_step_end=sneak,
            callback_on_step_end_tensor_inputs=["prompt_embeds"],
        )


def test_guidance_that_a_callback_switches_off_is_followed(pipe: Any, draw: Draw) -> None:
    def cut(which: Any, step: int, _time: object, values: dict[str, Any]) -> dict[str, Any]:
        if step == 1:
            which._guidance_scale = 0.0
            values["prompt_embeds"] = values["prompt_embeds"].chunk(2)[-1]
        return values

    settings: dict[str, Any] = {
        "callback_on_step_end": cut,
        "callback_on_step_end_tensor_inputs": ["prompt_embeds"],
    }
    expected = draw(pipe, SAID, **settings)
    with embedops.attach(pipe, say()):
        assert np.array_equal(draw(pipe, PROMPTS, **settings), expected)


def test_a_replaced_denoiser_is_followed(pipe: Any, draw: Draw) -> None:
    other = tiny.stable_diffusion(seed=5).unet
    with embedops.attach(pipe, say()):
        pipe.unet = other
        steered = draw(pipe, PROMPTS)
    assert hooks(pipe) == 0
    assert np.array_equal(steered, draw(pipe, SAID))


def test_pipelines_that_share_weights_do_not_see_each_other(pipe: Any, draw: Draw) -> None:
    other = StableDiffusionPipeline.from_pipe(pipe)
    # What keeps state of its own is not shared between threads; the weights are.
    other.scheduler = type(pipe.scheduler).from_config(pipe.scheduler.config)
    other.tokenizer = tiny.clip_tokenizer()
    other.set_progress_bar_config(disable=True)
    assert other.unet is pipe.unet
    plain = draw(pipe, PROMPTS, steps=12)
    said = draw(pipe, SAID, steps=12)
    results: dict[str, np.ndarray] = {}
    ready = threading.Barrier(2)

    def work(name: str, which: Any) -> None:
        ready.wait()
        results[name] = draw(which, PROMPTS, steps=12)

    with embedops.attach(pipe, say()):
        threads = [
            threading.Thread(target=work, args=("steered", pipe)),
            threading.Thread(target=work, args=("plain", other)),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert np.array_equal(draw(other, PROMPTS, steps=12), plain)
    assert np.array_equal(results["steered"], said)
    assert np.array_equal(results["plain"], plain)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(pipe: Any, draw: Draw, dtype: torch.dtype) -> None:
    pipe.to(dtype)
    expected = draw(pipe, SAID)
    with embedops.attach(pipe, say()):
        assert np.array_equal(draw(pipe, PROMPTS), expected)


def test_screening_draws_nothing_and_agrees_with_a_call(pipe: Any, draw: Draw) -> None:
    calls = []
    handle = pipe.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    verdicts = embedops.screen(pipe, PROMPTS, say())
    assert not calls
    handle.remove()
    assert [v.flagged for v in verdicts] == [True, False, True]
    with embedops.attach(pipe, say()) as session:
        draw(pipe, PROMPTS)
    assert list(session.report.verdicts) == verdicts
    assert embedops.screen(pipe, [], say()) == []
    assert embedops.screen(pipe, "a pistol", say())[0].flagged is True


def test_the_encoder_and_its_notes_are_gone_before_the_steps(pipe: Any, draw: Draw) -> None:
    asked: list[weakref.ref[Any]] = []
    alive: list[bool] = []

    def note(_pipe: Any, _step: int, _time: Any, inputs: dict[str, Any]) -> dict[str, Any]:
        alive.append(asked[0]() is not None)
        return inputs

    ask = Question(lambda _conditioning, encoder: asked.append(weakref.ref(encoder)))
    with embedops.attach(pipe, ask, say()):
        draw(pipe, PROMPTS, callback_on_step_end=note)
    assert alive == [False] * 4


def test_what_is_attached_can_be_seen(pipe: Any) -> None:
    with embedops.attach(pipe, say(stop=0.5)) as session:
        assert repr(session) == ("<Session attached to StableDiffusionPipeline: say(stop=0.5)>")


def test_wrong_arguments_are_refused_before_anything_is_hooked(pipe: Any) -> None:
    with pytest.raises(ConfigError, match="expected a plugin object, got 'safree'"):
        embedops.attach(pipe, "safree")  # type: ignore[arg-type]
    with pytest.raises(AttachError, match="unknown policy 'relaxed'"):
        embedops.attach(pipe, say(), policy="relaxed")  # type: ignore[arg-type]
    with pytest.raises(embedops.UnsupportedPipelineError, match=r"Supported: .*StableDiffusion"):
        embedops.attach(object(), say())
    assert hooks(pipe) == 0
