"""Agreement with the reference data; `tests/goldens/README.md` says what was computed how."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from embedops import Subspace
from embedops_safree.self_validation import last_step
from embedops_safree.steering import merge, removed_share, steer
from embedops_safree.triggers import find_triggers, trigger_mask

_FOLDER = Path(__file__).parents[1] / "goldens"
_INDEX: dict[str, dict[str, Any]] = {
    case["id"]: case for case in json.loads((_FOLDER / "index.json").read_text())
}


@cache
def _arrays(width: int) -> dict[str, np.ndarray[Any, Any]]:
    with np.load(_FOLDER / f"cases_d{width}.npz") as file:
        return dict(file)


@dataclass(frozen=True)
class _Case:
    name: str

    def __getitem__(self, array: str) -> Tensor:
        value = torch.from_numpy(_arrays(_INDEX[self.name]["d"])[f"{self.name}/{array}"])
        return value.float() if value.dtype == torch.float16 else value

    @property
    def degenerate(self) -> bool:
        return bool(_INDEX[self.name]["degenerate"])

    @property
    def count(self) -> int:
        return int(_INDEX[self.name]["n"])

    @property
    def content(self) -> slice:
        return slice(1, 1 + self.count)

    @property
    def steered(self) -> Tensor:
        return steer(self["E"], Subspace.span(self["M"]), Subspace.span(self["C"]), "released")


@pytest.fixture(params=sorted(_INDEX))
def case(request: pytest.FixtureRequest) -> _Case:
    return _Case(request.param)


def _relative(a: Tensor, b: Tensor) -> float:
    return float((a.double() - b.double()).norm() / b.double().norm())


def test_every_case_of_the_index_has_arrays() -> None:
    names = {key.split("/")[0] for width in (64, 768) for key in _arrays(width)}
    assert names == set(_INDEX)
    assert any(case["degenerate"] for case in _INDEX.values())


def test_distances(case: _Case) -> None:
    found = find_triggers(case["M"], Subspace.span(case["C"]), float(case["alpha"]))
    assert torch.allclose(found.distance, case["dist_f64"], rtol=1e-5)


def test_flags(case: _Case) -> None:
    mask = trigger_mask(case["M"], Subspace.span(case["C"]), float(case["alpha"]))
    expected = case["flag"]
    assert torch.equal(mask, expected[case.content])
    assert torch.equal(mask, case["flag_exact"][case.content])
    assert not expected[0]
    assert not expected[1 + case.count :].any()


def test_rows(case: _Case) -> None:
    flags = case["flag"]
    rows = case.steered[flags]
    assert rows.shape == case["rows_exact"].shape
    if not flags.any():
        return
    assert _relative(rows, case["rows_exact"]) < 1e-4
    if not case.degenerate:
        assert _relative(rows, case["rows_f32"]) < 1e-3


def test_merged_rows_keep_the_others_bits(case: _Case) -> None:
    flags = case["flag"]
    merged = merge(case["E"], case.steered[flags], flags.nonzero()[:, 0])
    assert torch.equal(merged[~flags], case["E"][~flags])
    assert torch.equal(merged[flags], case.steered[flags])


def test_beta(case: _Case) -> None:
    attended = case["attention_mask"].bool()
    found = removed_share(case["E"][attended], case.steered[attended])
    assert found == pytest.approx(float(case["beta_exact"]), abs=1e-4)


@pytest.mark.parametrize(("kind", "array"), [("content", "nudity"), ("style", "artists")])
def test_steps(case: _Case, kind: Any, array: str) -> None:
    attended = case["attention_mask"].bool()
    z = removed_share(case["E"][attended], case.steered[attended])
    gamma = float(case["up_t"])
    assert last_step(z, "released", kind, gamma) == int(case[f"beta_adjusted_{array}"])
