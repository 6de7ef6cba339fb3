from __future__ import annotations

import threading
from typing import Any

import pytest
import tiny
import torch
from torch import nn

from embedops import UnsupportedPipelineError
from embedops.families import adapter_for
from embedops.learning.attention import AttentionMaps, as_pictures


class Eager:
    """A processor that keeps the attention that it computes."""

    def __init__(self) -> None:
        self.maps: dict[Any, torch.Tensor] = {}

    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        text = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = (
            attn.head_to_batch_dim(states)
            for states in (attn.to_q(hidden_states), attn.to_k(text), attn.to_v(text))
        )
        shares = attn.get_attention_scores(query, key, attention_mask)
        if encoder_hidden_states is not None:
            self.maps[attn] = shares.unflatten(0, (-1, attn.heads)).mean(1)
        return attn.to_out[0](attn.batch_to_head_dim(shares @ value))


def predict(denoising: Any, texts: list[str]) -> torch.Tensor:
    noisy = torch.randn(len(texts), 4, 8, 8, generator=torch.Generator().manual_seed(0))
    return denoising.predict(noisy, torch.full((len(texts),), 400), denoising.read(texts))


def test_the_maps_are_those_of_eager_attention() -> None:
    pipe = tiny.stable_diffusion()
    denoising = adapter_for(pipe).denoising()
    layers = denoising.cross_attention()
    with torch.no_grad(), AttentionMaps(layers) as maps:
        predict(denoising, ["a cat", "a dog on a table"])
        found = maps.take()
        assert maps.take() == {}
    eager = Eager()
    pipe.unet.set_attn_processor(eager)
    with torch.no_grad():
        predict(denoising, ["a cat", "a dog on a table"])
    assert len(found) == len(layers) == len(eager.maps)
    for path, shares in found.items():
        torch.testing.assert_close(shares, eager.maps[layers[path]])
        torch.testing.assert_close(shares.sum(-1), torch.ones(shares.shape[:2]))
    assert not any(m._forward_hooks for m in pipe.unet.modules())


def test_listening_changes_nothing_and_another_thread_is_not_heard() -> None:
    pipe = tiny.stable_diffusion()
    denoising = adapter_for(pipe).denoising()
    with torch.no_grad():
        expected = predict(denoising, ["a cat"])
        with AttentionMaps(denoising.cross_attention()) as maps:
            assert torch.equal(predict(denoising, ["a cat"]), expected)
            maps.take()
            thread = threading.Thread(target=predict, args=(denoising, ["a dog"]))
            thread.start()
            thread.join()
            assert maps.take() == {}


def test_maps_as_pictures() -> None:
    places = torch.zeros(1, 16, 2)
    places[0, 5, 1] = 1.0  # row 1, column 1 of 4 × 4
    shown = as_pictures({"fine": places, "coarse": torch.zeros(1, 4, 2)}, 8)
    assert shown.shape == (1, 2, 8, 8)
    peak = int(shown[0, 1].argmax())
    assert divmod(peak, 8) in {(2, 2), (2, 3), (3, 2), (3, 3)}
    assert float(shown[0, 0].abs().max()) == 0.0


def test_a_fused_layer_is_refused() -> None:
    with pytest.raises(UnsupportedPipelineError, match="unfuse_qkv_projections"):
        AttentionMaps({"block": nn.Linear(2, 2)})
