from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file

from embedops import Concept, ConfigError

ROWS = torch.arange(6.0).reshape(2, 3)


def test_everything_comes_back(tmp_path: Path) -> None:
    whole = Concept(
        "<toy>",
        {"text_encoder": ROWS, "text_encoder_3": ROWS[:1]},
        outputs={"text_encoder": -ROWS},
        said="cat toy",
        marks={"text_encoder": (0.5, 1.0)},
        parts={"<toy-pose-1>": {"text_encoder": ROWS[1:]}},
        origin={"method": "detex", "seed": "3"},
    )
    again = Concept.load(whole.save(tmp_path / "toy.safetensors"))
    assert again == whole
    assert (again.said, again.marks, again.origin) == (whole.said, whole.marks, whole.origin)
    assert again.part("<toy-pose-1>").vectors["text_encoder"].tolist() == [[3.0, 4.0, 5.0]]


def test_diffusers_reads_a_plain_one(tmp_path: Path) -> None:
    pipe = tiny.stable_diffusion()
    width = pipe.text_encoder.config.hidden_size
    path = Concept("<toy>", {"text_encoder": torch.ones(1, width)}).save(tmp_path / "a.safetensors")
    pipe.load_textual_inversion(path)
    assert "<toy>" in pipe.tokenizer.get_vocab()


def test_diffusers_does_not_take_the_rows_for_the_whole(tmp_path: Path) -> None:
    behind = Concept("<toy>", {"text_encoder": ROWS}, outputs={"text_encoder": ROWS})
    path = behind.save(tmp_path / "a.safetensors")
    assert len(load_file(path)) > 1
    assert Concept.load(path) == behind


def test_sdxl_files_are_named_as_other_tools_name_them(tmp_path: Path) -> None:
    both = Concept("<toy>", {"text_encoder": ROWS, "text_encoder_2": -ROWS})
    tensors = load_file(both.save(tmp_path / "a.safetensors"))
    assert set(tensors) == {"clip_l", "clip_g"}
    save_file(tensors, tmp_path / "theirs.safetensors")
    theirs = Concept.load(tmp_path / "theirs.safetensors")
    assert theirs.token == "<theirs>"
    assert torch.equal(theirs.vectors["text_encoder_2"], -ROWS)


@pytest.mark.parametrize(
    ("held", "token"),
    [
        ({"<cat>": ROWS[0]}, "<cat>"),
        ({"string_to_param": {"*": ROWS[:1]}, "name": "cat", "step": 3}, "cat"),
        ({"emb_params": ROWS[:1]}, "<file>"),
    ],
)
def test_files_of_other_tools(held: dict[str, object], token: str, tmp_path: Path) -> None:
    torch.save(held, tmp_path / "file.pt")
    found = Concept.load(tmp_path / "file.pt")
    assert found.token == token
    assert torch.equal(found.vectors["text_encoder"], ROWS[:1])
    assert Concept.load(tmp_path / "file.pt", token="<other>").token == "<other>"


class _Runs:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("ran"),))


def test_files_that_would_run_code_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.pt").write_bytes(pickle.dumps(_Runs()))
    with pytest.raises(ConfigError, match="tensors alone"):
        Concept.load(tmp_path / "bad.pt")
    assert not (tmp_path / "ran").exists()


def test_what_is_no_embedding(tmp_path: Path) -> None:
    save_file({"a": ROWS, "b": -ROWS}, tmp_path / "two.safetensors")
    with pytest.raises(ConfigError, match="no embedding that is known: it has a, b"):
        Concept.load(tmp_path / "two.safetensors")
    (tmp_path / "text.safetensors").write_text("nothing")
    with pytest.raises(ConfigError, match="safetensors"):
        Concept.load(tmp_path / "text.safetensors")
    with pytest.raises(ConfigError, match="is no file"):
        Concept.load(tmp_path / "missing.safetensors")
    save_file({"x": ROWS}, tmp_path / "new.safetensors", {"embedops.format": "9"})
    with pytest.raises(ConfigError, match="format '9'"):
        Concept.load(tmp_path / "new.safetensors")


def test_a_failed_write_keeps_the_older_file(tmp_path: Path) -> None:
    toy = Concept("<toy>", {"text_encoder": ROWS})
    with pytest.raises(ConfigError, match="cannot be written"):
        toy.save(tmp_path / "nowhere" / "toy.safetensors")
    (tmp_path / "toy.safetensors").mkdir()
    with pytest.raises(ConfigError, match="cannot be written"):
        toy.save(tmp_path / "toy.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == ["toy.safetensors"]
