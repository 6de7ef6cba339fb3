from __future__ import annotations

import pytest
import tiny
import torch
from families import flux, stable_diffusion_xl

from embedops import Concept, ConfigError
from embedops.neighbours import nearest_words


def test_a_words_own_row_is_nearest_to_the_word() -> None:
    pipe = tiny.stable_diffusion()
    table = pipe.text_encoder.get_input_embeddings().weight.detach()
    ids = pipe.tokenizer("cat dog", add_special_tokens=False).input_ids
    concept = Concept("<toy>", {"text_encoder": 3.0 * table[ids]})
    first, second = nearest_words(concept, pipe, count=3)["text_encoder"]
    assert first[0] == ("cat", pytest.approx(1.0))
    assert second[0][0] == "dog"
    assert [cosine for _, cosine in first] == sorted((c for _, c in first), reverse=True)
    assert len(first) == 3


def test_every_encoder_and_pieces_without_marks() -> None:
    pipe = flux.flux()
    rows = {
        name: getattr(pipe, name).get_input_embeddings().weight.detach()[5:6]
        for name in ("text_encoder", "text_encoder_2")
    }
    found = nearest_words(Concept("<toy>", rows), pipe)
    assert set(found) == set(rows)
    assert not any("▁" in word for words in found["text_encoder_2"] for word, _ in words)


def test_another_pipeline_is_refused() -> None:
    concept = Concept("<toy>", {"text_encoder": torch.ones(1, 7)})
    with pytest.raises(ConfigError, match="7 wide"):
        nearest_words(concept, stable_diffusion_xl.stable_diffusion_xl())
    concept = Concept("<toy>", {"text_encoder_3": torch.ones(1, 7)})
    with pytest.raises(ConfigError, match="has vectors for text_encoder_3"):
        nearest_words(concept, tiny.stable_diffusion())
