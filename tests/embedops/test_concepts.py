from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from embedops import Concept, ConfigError


def concept(seed: int = 0, **streams: int) -> Concept:
    generator = torch.Generator().manual_seed(seed)
    widths = streams or {"text_encoder": 32}
    vectors = {name: torch.randn(2, dim, generator=generator) for name, dim in widths.items()}
    return Concept("<toy>", vectors, {"method": "cross-init", "seed": str(seed)})


@pytest.mark.parametrize("widths", [{"text_encoder": 32}, {"text_encoder": 8, "text_encoder_2": 9}])
def test_saving_and_loading_is_exact(tmp_path: Path, widths: dict[str, int]) -> None:
    one = concept(**widths)
    again = Concept.load(one.save(tmp_path / "toy.safetensors"))
    assert again == one
    assert again.origin == one.origin


def test_diffusers_loads_what_is_saved(tmp_path: Path, pipe: Any) -> None:
    one = concept()
    pipe.load_textual_inversion(str(one.save(tmp_path / "toy.safetensors")))
    ids = pipe.tokenizer.convert_tokens_to_ids(["<toy>", "<toy>_1"])
    rows = pipe.text_encoder.get_input_embeddings().weight[ids]
    assert torch.equal(rows, one.vectors["text_encoder"])


def test_arithmetic() -> None:
    a, b = concept(seed=1), concept(seed=2)
    back = (a + b) - b
    torch.testing.assert_close(back.vectors["text_encoder"], a.vectors["text_encoder"])
    torch.testing.assert_close((2.0 * a - a).vectors["text_encoder"], a.vectors["text_encoder"])
    assert a == concept(seed=1)
    assert a != b
    assert a.similarity(3.0 * a)["text_encoder"] == pytest.approx(1.0)
    assert abs(a.similarity(b)["text_encoder"]) < 0.9


def test_other_shapes_do_not_combine() -> None:
    with pytest.raises(ConfigError, match=r"'text_encoder': \(2, 32\).*'text_encoder': \(2, 16\)"):
        concept() + concept(text_encoder=16)


def test_broken_values_are_refused() -> None:
    with pytest.raises(ConfigError, match="expected finite vectors"):
        Concept("<toy>", {"text_encoder": torch.tensor([[float("nan")]])})
    with pytest.raises(ConfigError, match="needs a placeholder token"):
        Concept(" ", {"text_encoder": torch.zeros(1, 2)})


def test_other_files_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "no.safetensors"
    text.write_text("hello")
    with pytest.raises(ConfigError, match="cannot be read as safetensors"):
        Concept.load(text)
    save_file({"x": torch.zeros(1), "y": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ConfigError, match="holds no embedding that is known"):
        Concept.load(tmp_path / "other.safetensors")
    with pytest.raises(ConfigError, match="is no file"):
        Concept.load(tmp_path / "missing.safetensors")
