from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from conftest import Draw
from probe import say

import embedops
from embedops import ConfigError, Role, Subspace
from embedops_decor.unwanted import unwanted_subspaces
from embedops_pipelines.stable_diffusion import StableDiffusion

PROMPTS = ["a photo of a pistol on the table", "a cat", ""]


def edited(pipe: Any, **settings: object) -> tuple[torch.Tensor, torch.Tensor, embedops.Edit]:
    encoder = StableDiffusion(pipe).encoder()
    conditioning = encoder.encode(PROMPTS)
    edit = embedops.plugin("decor", **settings).edit(conditioning, encoder)
    return conditioning.streams[0].embeds, edit.conditioning.streams[0].embeds, edit


def space(pipe: Any, *phrases: str, neutral: str | None = "thing") -> Subspace:
    encoder = StableDiffusion(pipe).encoder()
    return unwanted_subspaces(encoder, phrases, "a photo of {}", neutral, None)["text_encoder"]


@pytest.mark.parametrize("neutral", ["thing", None])
def test_full_strength_leaves_nothing_in_the_unwanted_subspace(
    pipe: Any, neutral: str | None
) -> None:
    _, after, _ = edited(pipe, phrases=["pistol", "red house"], neutral=neutral)
    unwanted = space(pipe, "pistol", "red house", neutral=neutral)
    assert unwanted.rank == 3
    assert unwanted.project(after[:, 1:]).abs().max() < 1e-5


def test_the_formula(pipe: Any) -> None:
    before, after, _ = edited(pipe, phrases="pistol", strength=0.3, neutral=None)
    encoder = StableDiffusion(pipe).encoder()
    rows = encoder.encode(["a photo of pistol"]).streams[0].embeds[0, 4:5].double()
    projector = rows.T @ torch.linalg.pinv(rows @ rows.T) @ rows
    expected = before.double() - 0.3 * before.double() @ projector
    torch.testing.assert_close(after[:, 1:].double(), expected[:, 1:], atol=1e-5, rtol=1e-5)
    assert torch.equal(after[:, 0], before[:, 0])


@pytest.mark.parametrize(
    ("positions", "role"), [("words", Role.CONTENT), ("end", Role.END), ("pad", Role.PAD)]
)
def test_only_the_positions_asked_for_change(pipe: Any, positions: str, role: Role) -> None:
    before, after, edit = edited(pipe, phrases="pistol", positions=positions)
    changed = (before != after).any(-1)
    assert torch.equal(changed, edit.conditioning.streams[0].roles == role)


@pytest.mark.parametrize("settings", [{"phrases": []}, {"phrases": "pistol", "strength": 0.0}])
def test_nothing_to_do_is_bit_identical(pipe: Any, draw: Draw, settings: dict[str, Any]) -> None:
    before = draw(pipe, PROMPTS)
    with embedops.attach(pipe, embedops.plugin("decor", **settings)) as session:
        assert np.array_equal(draw(pipe, PROMPTS), before)
    assert session.report.steps == ((), (), ())


def test_it_changes_the_picture_in_its_window(pipe: Any, draw: Draw) -> None:
    before = draw(pipe, PROMPTS)
    plugin = embedops.plugin("decor", phrases="pistol", start=0.5)
    with embedops.attach(pipe, plugin) as session:
        after = draw(pipe, PROMPTS)
    assert session.report.steps == ((2, 3),) * 3
    assert not np.array_equal(after, before)
    assert [v.flagged for v in session.report.verdicts] == [False] * 3


def test_a_batch_equals_single_prompts(pipe: Any) -> None:
    encoder = StableDiffusion(pipe).encoder()
    plugin = embedops.plugin("decor", phrases="pistol")
    together = plugin.edit(encoder.encode(PROMPTS), encoder).conditioning.streams[0].embeds
    for row, prompt in enumerate(PROMPTS):
        alone = plugin.edit(encoder.encode([prompt]), encoder).conditioning.streams[0].embeds
        torch.testing.assert_close(together[row], alone[0], atol=1e-5, rtol=1e-5)


def test_it_works_on_learned_words(pipe: Any, tmp_path: Any) -> None:
    toy = embedops.Concept("<toy>", {"text_encoder": torch.randn(2, 32)})
    pipe.load_textual_inversion(str(toy.save(tmp_path / "toy.safetensors")))
    unwanted = space(pipe, "<toy>")
    assert unwanted.rank == 2
    _, after, _ = edited(pipe, phrases="<toy>")
    assert unwanted.project(after[:, 1:]).abs().max() < 1e-5


def test_it_composes_with_other_plugins(pipe: Any, draw: Draw) -> None:
    decor = embedops.plugin("decor", phrases="red house")
    with embedops.attach(pipe, decor):
        expected = draw(pipe, "a cat on the beach")
    with embedops.attach(pipe, say(), decor):
        assert np.array_equal(draw(pipe, "a photo of a pistol"), expected)


def test_the_trace_gives_each_words_share(pipe: Any) -> None:
    _, _, edit = edited(pipe, phrases="pistol", neutral=None, template="a photo of a {}")
    shares = {t.text: t.score for t in edit.traces[0].tokens}
    assert shares["pistol"] == max(shares.values()) > 0.99
    assert edit.traces[0].values["rank.text_encoder"] == 1.0


def test_bad_settings(pipe: Any) -> None:
    with pytest.raises(ConfigError, match="exactly one"):
        embedops.plugin("decor", phrases="hat", template="a photo")
    with pytest.raises(ConfigError, match="positions"):
        embedops.plugin("decor", phrases="hat", positions="verbs")
    with pytest.raises(ConfigError, match="is blank"):
        edited(pipe, phrases=[" "])
