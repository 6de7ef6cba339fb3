from __future__ import annotations

from pathlib import Path
from typing import Any

import learning_cost
import pytest
import torch
from literal_inversion import LiteralInversion


@pytest.mark.parametrize("mixed", [False, True])
def test_the_literal_procedure_moves_one_row(pipe: Any, mixed: bool) -> None:
    table = pipe.text_encoder.get_input_embeddings().weight
    before = table.detach().clone()
    if mixed:
        pipe.unet.bfloat16()
        pipe.vae.bfloat16()
    torch.manual_seed(0)
    run = LiteralInversion(pipe, torch.rand(3, 3, 16, 16), "cat", ["a {}", "{}"], mixed=mixed)
    start = run.row.clone()
    word = pipe.tokenizer("cat", add_special_tokens=False).input_ids[0]
    assert torch.equal(start, before[word])
    laps = [run.step(2) for _ in range(2)]
    assert not torch.equal(run.row, start)
    assert torch.equal(run.weight[:-1], before)
    assert torch.equal(table, before)
    assert list(laps[0]) == list(laps[1])
    assert all(seconds >= 0 for seconds in laps[0].values())
    rows, dim = before.shape
    assert run.state_bytes() == 2 * 4 * (rows + 1) * dim + 4


def test_every_procedure_is_measured(pipe: Any, tmp_path: Path) -> None:
    rows, dim = pipe.text_encoder.get_input_embeddings().weight.shape
    learning_cost.draw_pictures(tmp_path, 2, 16)
    found = learning_cost.measure(pipe, tmp_path, batch=1, steps=2, turns=1)
    for dtype in learning_cost.DTYPES:
        assert list(found["seconds"][dtype]) == [
            "literal",
            "textual-inversion",
            "cross-init",
            "cones",
        ]
        assert all(s["low"] > 0 for s in found["seconds"][dtype].values())
        memory = found["memory"][dtype]
        kept = memory["textual-inversion"]["optimiser"]
        assert kept == 2 * 4 * dim + 4
        assert memory["literal"]["optimiser"] == 2 * 4 * (rows + 1) * dim + 4
        assert memory["literal"]["peak"] > memory["textual-inversion"]["peak"]
