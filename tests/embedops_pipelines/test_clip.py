from __future__ import annotations

import contextlib
from typing import Any

import pytest
import tiny
import torch
from diffusers.hooks import apply_group_offloading
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig
from peft.tuners.lora import LoraLayer

from embedops import ConfigError, LeaveOneOut
from embedops_pipelines.clip import ClipText
from embedops_pipelines.clip_leave_one_out import pooled_without_each, projections
from embedops_pipelines.stable_diffusion import StableDiffusion
from embedops_pipelines.text_model import Row


def reference(pipe: Any, text: str) -> torch.Tensor:
    """Each variant as a full forward of its own, one at a time, padded to the full length."""
    ids = pipe.tokenizer(
        text, padding="max_length", truncation=True, max_length=77, return_tensors="pt"
    ).input_ids
    count = len(pipe.tokenizer(text, add_special_tokens=False).input_ids)
    rows = []
    for i in range(1, count + 1):
        masked = ids.clone()
        masked[0, i] = 0
        with torch.no_grad():
            rows.append(pipe.text_encoder(masked).last_hidden_state[0, count + 1])
    return torch.stack(rows)


def leave_one_out(pipe: Any, text: str) -> LeaveOneOut:
    encoder = StableDiffusion(pipe).encoder()
    return encoder.leave_one_out(encoder.encode([text]))["text_encoder"][0]


@pytest.mark.parametrize("layers", [1, 2, 4])
@settings(max_examples=8, deadline=None)
@given(words=st.lists(st.sampled_from([*tiny.WORDS, "zebra", "!", "…"]), min_size=1, max_size=9))
def test_shared_prefixes_give_the_same_vectors(layers: int, words: list[str]) -> None:
    pipe = tiny.stable_diffusion(layers=layers)
    text = " ".join(words)
    torch.testing.assert_close(
        leave_one_out(pipe, text).masked, reference(pipe, text), atol=1e-5, rtol=1e-5
    )


def test_it_is_less_work_than_encoding_each_variant(pipe: Any) -> None:
    """Rows through the feed-forward layers, counted."""
    rows = 0

    def count(_module: object, args: tuple[torch.Tensor], _output: object) -> None:
        nonlocal rows
        rows += args[0].numel() // args[0].shape[-1]

    text = " ".join(tiny.WORDS[:20])
    encoder = StableDiffusion(pipe).encoder()
    conditioning = encoder.encode([text])
    with contextlib.ExitStack() as stack:
        for layer in pipe.text_encoder.encoder.layers:
            stack.callback(layer.mlp.register_forward_hook(count).remove)
        encoder.leave_one_out(conditioning)
    suffixes, layers = 20 * 23 // 2, 3
    assert rows == suffixes * (layers - 1) + 20  # the last layer only at EOS, nothing encoded anew


def test_a_model_that_hides_its_layers_takes_the_long_way(pipe: Any) -> None:
    expected = leave_one_out(pipe, "a photo of a pistol").masked
    apply_group_offloading(
        pipe.text_encoder,
        onload_device=torch.device("cpu"),
        offload_type="block_level",
        num_blocks_per_group=1,
    )
    offloaded = leave_one_out(pipe, "a photo of a pistol").masked
    torch.testing.assert_close(offloaded, expected, atol=1e-5, rtol=1e-5)


def test_without_projections_the_result_is_the_same(pipe: Any) -> None:
    model = pipe.text_encoder
    ids = torch.tensor(pipe.tokenizer("a photo of a pistol").input_ids)
    with torch.no_grad(), projections(model) as log:
        model(ids[None])
    torch.testing.assert_close(
        pooled_without_each(model, ids, 0, log.take()), pooled_without_each(model, ids, 0, ())
    )


def test_long_prompts_are_examined_whole(pipe: Any) -> None:
    harmless = " ".join(["cat"] * 75)
    found = leave_one_out(pipe, harmless + " a pistol " + " ".join(["dog"] * 80))
    assert len(found.tokens) == 157
    assert found.tokens[76] == "pistol"
    assert found.positions[:75] == tuple(range(1, 76))
    assert set(found.positions[75:]) == {None}
    assert found.window == (0,) * 75 + (1,) * 75 + (2,) * 7
    assert found.masked.shape == (157, 32)
    assert found.whole.shape == (3, 32)


def test_an_end_token_in_the_prompt_hides_nothing(pipe: Any) -> None:
    encoder = StableDiffusion(pipe).encoder()
    stream = encoder.encode(["a cat <|endoftext|> a pistol"]).streams[0]
    content = stream.positions(0, 1)  # type: ignore[arg-type]  # Role.CONTENT
    assert [stream.tokens[0][i] for i in content] == ["a", "cat", "<|endoftext|>", "a", "pistol"]
    assert "pistol" in leave_one_out(pipe, "a cat <|endoftext|> a pistol").tokens


def test_padding_with_another_token_than_eos() -> None:
    pipe = tiny.stable_diffusion()
    pipe.tokenizer.pad_token = "!"  # as Stable Diffusion 2 does
    encoder = StableDiffusion(pipe).encoder()
    stream = encoder.encode(["wow !"]).streams[0]
    assert stream.tokens[0][stream.positions(0, 2)[0]] == "<|endoftext|>"  # type: ignore[arg-type]
    assert len(stream.positions(0, 3)) == 77 - len(stream.positions(0, 1)) - 2  # type: ignore[arg-type]
    torch.testing.assert_close(
        encoder.pooled(["wow !"])["text_encoder"][0],
        stream.pooled[0],  # type: ignore[index]
    )


@pytest.mark.parametrize("text", ["", "   "])
def test_empty_prompts(pipe: Any, text: str) -> None:
    found = leave_one_out(pipe, text)
    assert found.tokens == ()
    assert found.masked.shape == (0, 32)
    assert found.whole.shape == (1, 32)


@pytest.mark.parametrize("text", ["🔫🐱", "قطة على الشاطئ", "a\u202epistol", "\x00"])
def test_any_script_has_tokens(pipe: Any, text: str) -> None:
    found = leave_one_out(pipe, text)
    assert torch.isfinite(found.masked).all()
    assert len(found.tokens) == found.masked.shape[0]


def test_pooled_vectors_equal_the_prompts_own_and_are_cached(pipe: Any) -> None:
    adapter = StableDiffusion(pipe)
    encoder = adapter.encoder()
    vectors = encoder.pooled(["a gun", "a red house", "a gun"])["text_encoder"]
    own = encoder.encode(["a gun", "a red house"]).streams[0].pooled
    torch.testing.assert_close(vectors[:2], own, atol=1e-5, rtol=1e-5)
    assert torch.equal(vectors[0], vectors[2])
    calls: list[int] = []
    handle = pipe.text_encoder.register_forward_hook(lambda *_: calls.append(1))
    adapter.encoder().pooled(["a red house", "a gun"])
    assert not calls
    adapter.encoder().pooled(["a red house", "a knife"])
    assert len(calls) == 1
    handle.remove()


def test_changed_weights_are_noticed(pipe: Any) -> None:
    adapter = StableDiffusion(pipe)
    before = adapter.encoder().pooled(["a gun"])["text_encoder"]
    with torch.no_grad():
        pipe.text_encoder.final_layer_norm.bias.add_(1.0)
    after = adapter.encoder().pooled(["a gun"])["text_encoder"]
    torch.testing.assert_close(after, before + 1.0)


def with_lora(pipe: Any) -> Any:
    pipe.text_encoder.add_adapter(
        LoraConfig(r=2, lora_alpha=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    )
    return pipe


def test_lora_and_its_scale_are_seen(pipe: Any) -> None:
    plain = leave_one_out(pipe, "a photo of a pistol").masked
    with_lora(pipe)
    assert any(isinstance(m, LoraLayer) for m in pipe.text_encoder.modules())
    found = leave_one_out(pipe, "a photo of a pistol").masked
    torch.testing.assert_close(found, reference(pipe, "a photo of a pistol"), atol=1e-5, rtol=1e-5)
    assert (found - plain).abs().max() > 1e-4
    off = ClipText(pipe, "text_encoder", "tokenizer", lora_scale=0.0)
    with off.lora_scaled(), off.record() as calls, torch.no_grad():
        pipe.text_encoder(torch.tensor([pipe.tokenizer("a photo of a pistol").input_ids]))
    masked = off.leave_one_out("a photo of a pistol", Row(calls[0], 0), range(1, 6)).masked
    torch.testing.assert_close(masked, plain, atol=1e-5, rtol=1e-5)
    full = ClipText(pipe, "text_encoder", "tokenizer")
    assert not torch.equal(off.pooled(["a gun"]), full.pooled(["a gun"]))


def test_lora_switched_off_is_noticed(pipe: Any) -> None:
    text = ClipText(with_lora(pipe), "text_encoder", "tokenizer")
    on = text.pooled(["a gun"])
    pipe.text_encoder.disable_adapters()
    assert not torch.equal(text.pooled(["a gun"]), on)


def test_textual_inversion_tokens_are_expanded(pipe: Any, tmp_path: Any) -> None:
    from safetensors.torch import save_file

    save_file({"<toy>": torch.randn(2, 32)}, tmp_path / "toy.safetensors")
    pipe.load_textual_inversion(str(tmp_path / "toy.safetensors"))
    assert leave_one_out(pipe, "a <toy> cat").tokens == ("a", "<toy>", "<toy>_1", "cat")
    torch.testing.assert_close(
        leave_one_out(pipe, "a cat").masked, reference(pipe, "a cat"), atol=1e-5, rtol=1e-5
    )


def test_the_vocabulary_is_whole_words(pipe: Any) -> None:
    words = StableDiffusion(pipe).encoder().vocabulary()
    assert {"cat", "pistol", "house"} <= set(words)
    assert all(word.isalpha() and len(word) > 2 for word in words)


def test_a_phrase_without_tokens_is_refused(pipe: Any) -> None:
    with pytest.raises(ConfigError, match="'  ' has no tokens in the vocabulary of text_encoder"):
        ClipText(pipe, "text_encoder", "tokenizer").pooled(["a gun", "  "])
