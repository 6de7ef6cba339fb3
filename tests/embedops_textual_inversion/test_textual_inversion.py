from __future__ import annotations

import pytest
import tiny
import torch

from embedops import ConfigError
from embedops.families import adapter_for
from embedops.learning.method import Task
from embedops_textual_inversion import TextualInversion, TextualInversionConfig


@pytest.mark.parametrize(("init", "vectors"), [("cat", 1), ("cat", 3), ("red cat", 2)])
def test_it_starts_from_the_words_rows(init: str, vectors: int) -> None:
    pipe = tiny.stable_diffusion()
    adapter = adapter_for(pipe)
    config = TextualInversionConfig(init=init, vectors=vectors)
    run = TextualInversion(config).begin(Task(adapter, adapter.denoising(), [], "<toy>", 0))
    found = run.concept({}).vectors["text_encoder"]
    run.close()
    ids = pipe.tokenizer(init, add_special_tokens=False).input_ids
    rows = pipe.text_encoder.get_input_embeddings().weight.detach()[ids]
    expected = rows if len(ids) == vectors else rows.mean(0, keepdim=True).repeat(vectors, 1)
    assert torch.equal(found, expected)


def test_words_without_tokens() -> None:
    pipe = tiny.stable_diffusion()
    adapter = adapter_for(pipe)
    task = Task(adapter, adapter.denoising(), [], "<toy>", 0)
    with pytest.raises(ConfigError, match="no tokens"):
        TextualInversion(TextualInversionConfig(init="")).begin(task)
