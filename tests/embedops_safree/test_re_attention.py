from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from conftest import Draw
from families import animatediff, text_to_video
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import embedops
from embedops import ConfigError, GuardError, Step
from embedops_safree import Safree, SafreeConfig
from embedops_safree.re_attention import ReAttention, damp_low_frequencies

PROMPTS = ["a photo of a pistol on the table", "", "a red cat holding a knife"]


def safree(**settings: Any) -> Safree:
    return Safree(SafreeConfig(phrases=["a weapon", "a gun"], re_attention=True, **settings))


def noise(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def hooks(pipe: Any) -> int:
    return sum(len(m._forward_pre_hooks) + len(m._forward_hooks) for m in pipe.unet.modules())


# The arithmetic.


@settings(max_examples=30)
@given(seed=st.integers(0, 1000), height=st.integers(1, 9), width=st.integers(1, 9))
def test_only_excess_low_frequencies_are_scaled(seed: int, height: int, width: int) -> None:
    safe, plain = noise(seed, 2, 3, height, width), noise(seed + 1, 2, 3, height, width)
    damped = damp_low_frequencies(safe, plain, 0.5, 1)
    before, other, after = (torch.fft.fft2(t.double()) for t in (safe, plain, damped))
    rows = torch.fft.fftfreq(height, 1 / height).abs() <= 1
    columns = torch.fft.fftfreq(width, 1 / width).abs() <= 1
    low = rows[:, None] & columns
    excess = (before.abs() > other.abs()) & low
    clear = (before.abs() / other.abs() - 1).abs() > 1e-4
    expected = torch.where(excess, 0.5 * before, before)
    assert torch.allclose(after[clear], expected[clear], atol=1e-4)


def test_features_that_exceed_nowhere_keep_their_bits() -> None:
    safe = noise(0, 2, 3, 8, 8)
    assert torch.equal(damp_low_frequencies(safe, safe, 0.1, 2), safe)
    assert torch.equal(damp_low_frequencies(safe, 3 * safe, 0.1, 2), safe)
    assert torch.equal(damp_low_frequencies(safe, noise(1, 2, 3, 8, 8), 1.0, 2), safe)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_odd_sizes_in_half_precision(dtype: torch.dtype) -> None:
    safe, plain = noise(0, 1, 2, 7, 5), noise(1, 1, 2, 7, 5)
    half = damp_low_frequencies(safe.to(dtype), plain.to(dtype), 0.2, 1)
    assert half.dtype == dtype
    assert torch.allclose(half.float(), damp_low_frequencies(safe, plain, 0.2, 1), atol=0.05)


# In a UNet.


class Rows:
    """Counts the rows that a UNet's first convolution sees."""

    def __init__(self, pipe: Any) -> None:
        self.seen: list[int] = []
        self._handle = pipe.unet.conv_in.register_forward_hook(self._note)

    def _note(self, _module: nn.Module, _args: Any, output: torch.Tensor) -> None:
        self.seen.append(output.shape[0])

    def take(self) -> list[int]:
        seen, self.seen = self.seen, []
        return seen


@pytest.mark.parametrize("guidance", [1.0, 5.0])
def test_rows_are_added_for_steered_prompts_in_steered_steps_alone(
    pipe: Any, draw: Draw, guidance: float
) -> None:
    rows = Rows(pipe)
    with embedops.attach(pipe, safree()) as session:
        draw(pipe, PROMPTS, steps=10, guidance_scale=guidance)
    plain = 3 if guidance == 1.0 else 6
    active = [sum(step in steps for steps in session.report.steps) for step in range(10)]
    assert rows.take() == [plain + count for count in active]
    assert active[0] == 2
    assert active[-1] == 0
    with embedops.attach(pipe, safree()):
        draw(pipe, "", steps=3, guidance_scale=guidance)
    assert rows.take() == [plain // 3] * 3


def test_a_neutral_scale_changes_nothing(pipe: Any, draw: Draw) -> None:
    steered = Safree(SafreeConfig(phrases=["a weapon", "a gun"]))
    with embedops.attach(pipe, steered):
        expected = draw(pipe, PROMPTS)
    rows = Rows(pipe)
    with embedops.attach(pipe, safree(re_attention_scale=1.0)):
        assert np.array_equal(draw(pipe, PROMPTS), expected)
    assert rows.take() == [6] * 4
    with embedops.attach(pipe, safree(re_attention_scale=0.5)):
        assert np.abs(draw(pipe, PROMPTS) - expected)[0].max() > 1e-3


def test_prompts_that_are_not_steered_stay_as_they_are(pipe: Any, draw: Draw) -> None:
    before = draw(pipe, PROMPTS)
    with embedops.attach(pipe, safree(re_attention_scale=0.2)):
        found = draw(pipe, PROMPTS)
    assert np.allclose(found[1], before[1], atol=1e-5)
    assert np.abs(found[0] - before[0]).max() > 1e-3


def test_a_batch_equals_single_calls(pipe: Any) -> None:
    def latents(prompt: str | list[str], start: torch.Tensor) -> torch.Tensor:
        settings = {"num_inference_steps": 4, "guidance_scale": 5.0, "output_type": "latent"}
        found: torch.Tensor = pipe(prompt, latents=start, **settings).images
        return found

    start = noise(0, 3, 4, 8, 8)
    with embedops.attach(pipe, safree(re_attention_scale=0.5)):
        together = latents(PROMPTS, start)
        alone = [latents(p, start[i : i + 1]) for i, p in enumerate(PROMPTS)]
    assert torch.allclose(together, torch.cat(alone), rtol=1e-3, atol=1e-3)


def test_detaching_takes_every_hook_out(pipe: Any, draw: Draw) -> None:
    before, count = draw(pipe, PROMPTS), hooks(pipe)
    session = embedops.attach(pipe, safree(re_attention_scale=0.2))
    assert hooks(pipe) > count
    draw(pipe, PROMPTS)
    session.detach()
    assert hooks(pipe) == count
    assert np.array_equal(draw(pipe, PROMPTS), before)


def sharing_weights(pipe: Any) -> Any:
    """Another pipeline around the same weights. Schedulers and fast tokenizers keep state."""
    parts = {
        **pipe.components,
        "tokenizer": tiny.clip_tokenizer(),
        "scheduler": type(pipe.scheduler).from_config(pipe.scheduler.config),
    }
    other = tiny.StableDiffusionPipeline(**parts, requires_safety_checker=False)
    other.set_progress_bar_config(disable=True)
    return other


def test_other_pipelines_with_the_same_unet_see_nothing(pipe: Any, draw: Draw) -> None:
    others = [sharing_weights(pipe) for _ in range(2)]
    expected = draw(others[0], PROMPTS)
    found: dict[int, np.ndarray[Any, Any]] = {}

    def work(number: int) -> None:
        found[number] = draw(others[number], PROMPTS)

    with embedops.attach(pipe, safree(re_attention_scale=0.2, self_validation=False)):
        mine = draw(pipe, PROMPTS)
        threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        again = draw(pipe, PROMPTS)
        for thread in threads:
            thread.join()
    assert np.array_equal(mine, again)
    assert np.array_equal(found[0], expected)
    assert np.array_equal(found[1], expected)


def test_a_denoiser_that_raises_leaves_nothing_open(pipe: Any, draw: Draw) -> None:
    before = draw(pipe, PROMPTS)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with embedops.attach(pipe, safree(re_attention_scale=0.2)):
        steered = draw(pipe, PROMPTS)
        handle = pipe.unet.mid_block.register_forward_pre_hook(interrupt)
        with pytest.raises(KeyboardInterrupt):
            draw(pipe, PROMPTS)
        handle.remove()
        assert np.array_equal(draw(pipe, PROMPTS), steered)
    assert np.array_equal(draw(pipe, PROMPTS), before)


# What it expects of a denoiser.


def inputs(rows: int) -> dict[str, Any]:
    return {
        "sample": noise(0, rows, 4, 8, 8),
        "timestep": torch.arange(rows),
        "encoder_hidden_states": noise(1, rows, 77, 32),
        "timestep_cond": noise(2, rows, 3),
        "added_cond_kwargs": {"text_embeds": noise(3, rows, 5), "scale": 2.0},
        "down_block_additional_residuals": (noise(4, rows, 1), noise(5, rows, 1)),
        "return_dict": False,
        "cross_attention_kwargs": None,
    }


def test_every_tensor_of_the_batch_gets_the_rows_of_the_original() -> None:
    original, changed = inputs(6), inputs(6)
    changed["encoder_hidden_states"] = noise(9, 6, 77, 32)
    changed["added_cond_kwargs"] = {"text_embeds": noise(8, 6, 5), "scale": 2.0}
    edit: Any = ReAttention(0.5, 1)
    step = Step(0, 4, original, (0, 2), 3, 2)
    grown = edit.before(step, changed)
    for name in ("sample", "timestep", "encoder_hidden_states", "timestep_cond"):
        assert torch.equal(grown[name][:6], changed[name])
        assert torch.equal(grown[name][6:], original[name][[3, 5]])
    pooled = grown["added_cond_kwargs"]
    assert torch.equal(
        pooled["text_embeds"][6:], original["added_cond_kwargs"]["text_embeds"][3::2]
    )
    assert pooled["scale"] == 2.0
    assert [r.shape[0] for r in grown["down_block_additional_residuals"]] == [8, 8]
    assert grown["return_dict"] is False


def test_a_transformer_is_refused(pipe: Any) -> None:
    with pytest.raises(ConfigError, match="Leave `re_attention` off"):
        ReAttention(0.5, 1).apply(pipe.text_encoder)


def test_a_batch_of_another_arrangement_is_refused() -> None:
    with pytest.raises(GuardError, match="expects a batch of 2 rows"):
        ReAttention(0.5, 1).before(Step(0, 4, inputs(6), (0,), 2, 1), inputs(6))


def test_hooks_that_never_ran_stop_the_call(pipe: Any) -> None:
    edit = ReAttention(0.5, 1)
    edit.apply(pipe.unet)
    edit.before(Step(0, 4, inputs(2), (0,), 1, 2), inputs(2))
    with pytest.raises(GuardError, match="saw 0 of the UNet's 2 up blocks"):
        edit.after(Step(0, 4, inputs(2), (0,), 1, 2), (noise(0, 3, 4, 8, 8),))
    edit.remove()
    assert hooks(pipe) == 0


@pytest.mark.slow
@pytest.mark.parametrize("compiled_first", [True, False])
def test_in_a_compiled_unet(pipe: Any, draw: Draw, compiled_first: bool) -> None:
    with embedops.attach(pipe, safree(re_attention_scale=0.2)):
        expected = draw(pipe, PROMPTS)
    torch.compiler.reset()
    if compiled_first:
        pipe.unet = torch.compile(pipe.unet, backend="eager")
        draw(pipe, PROMPTS)
    with embedops.attach(pipe, safree(re_attention_scale=0.2)):
        if not compiled_first:
            pipe.unet = torch.compile(pipe.unet, backend="eager")
        assert np.allclose(draw(pipe, PROMPTS), expected, atol=1e-4)


@pytest.mark.parametrize("build", [animatediff.animatediff, text_to_video.text_to_video])
def test_a_unet_over_frames_is_refused(build: Any) -> None:
    moving = build()
    call = {"num_frames": 3, "num_inference_steps": 2, "height": 16, "width": 16}

    def clip() -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        return moving("a cat", generator=generator, output_type="latent", **call).frames

    before = clip()
    with (
        pytest.raises(GuardError, match="re_attention"),
        embedops.attach(moving, safree(re_attention_scale=0.2, self_validation=False)),
    ):
        moving(PROMPTS, **call)
    assert torch.equal(clip(), before)
