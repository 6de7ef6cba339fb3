from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import tiny
import torch
from families import flux, kolors, stable_diffusion_xl
from transformers import CLIPTextModel

import embedops
from embedops import AttachError, Concept, ConfigError
from embedops.placed import mark

PROMPT = "a photo of a <Toy> on the beach"


def rows(count: int, width: int, seed: int = 0) -> torch.Tensor:
    return 0.2 * torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def width(encoder: Any) -> int:
    return int(encoder.get_input_embeddings().weight.shape[1])


def draw(pipe: Any, prompt: str | list[str] = PROMPT, **settings: Any) -> torch.Tensor:
    drawn = pipe(
        prompt,
        num_inference_steps=3,
        generator=torch.Generator().manual_seed(0),
        output_type="latent",
        height=16,
        width=16,
        **settings,
    )
    return torch.as_tensor(drawn[0])


@pytest.mark.parametrize("count", [1, 3])
def test_it_draws_what_diffusers_own_loader_draws(count: int) -> None:
    pipe, other = tiny.stable_diffusion(), tiny.stable_diffusion()
    vectors = rows(count, width(pipe.text_encoder))
    with embedops.attach(pipe) as session:
        session.add(Concept("<toy>", {"text_encoder": vectors}))
        ours = draw(pipe, PROMPT.lower())
    other.load_textual_inversion({"<toy>": vectors})
    assert torch.equal(ours, draw(other, PROMPT.lower()))


def test_removing_and_detaching_leave_no_trace() -> None:
    pipe = tiny.stable_diffusion()
    before, tokenizer = draw(pipe), pipe.tokenizer
    table = pipe.text_encoder.get_input_embeddings().weight
    values = table.detach().clone()
    toy = Concept("<toy>", {"text_encoder": rows(2, table.shape[1])})
    with embedops.attach(pipe) as session:
        session.add(toy)
        known = draw(pipe)
        assert not torch.equal(known, before)
        session.remove(toy)
        assert torch.equal(draw(pipe), before)
        assert session.concepts == ()
        session.add(toy)
        assert torch.equal(draw(pipe), known)
    assert torch.equal(draw(pipe), before)
    assert pipe.tokenizer is tokenizer
    assert torch.equal(pipe.text_encoder.get_input_embeddings().weight, values)
    assert not pipe.text_encoder.get_input_embeddings()._forward_hooks


def test_several_at_once_and_tokens_that_begin_alike() -> None:
    pipe = tiny.stable_diffusion()
    wide = width(pipe.text_encoder)
    toy, toys = (
        Concept(token, {"text_encoder": rows(count, wide, count)})
        for token, count in (("toy", 1), ("toy-2", 2))
    )
    with embedops.attach(pipe) as session:
        session.add(toy)
        alone = draw(pipe, "a photo of a toy")
        session.add(toys)
        assert torch.equal(draw(pipe, "a photo of a toy"), alone)
        pieces = pipe.tokenizer("toy toy-2 toyota").input_ids
        assert sum(i >= pipe.text_encoder.config.vocab_size for i in pieces) == 3
        session.remove("toy")
        assert session.concepts == (toys,)


def test_a_token_in_use_changes_nothing() -> None:
    pipe = tiny.stable_diffusion()
    toy = Concept("<toy>", {"text_encoder": rows(1, width(pipe.text_encoder))})
    with embedops.attach(pipe) as session:
        session.add(toy)
        known = draw(pipe)
        with pytest.raises(ConfigError, match="in use already"):
            session.add(replace(toy * 2.0, token="<TOY>"))
        assert torch.equal(draw(pipe), known)


def test_two_pipelines_that_share_an_encoder_do_not_see_each_others_concepts() -> None:
    pipe, other = tiny.stable_diffusion(), tiny.stable_diffusion()
    other.text_encoder = pipe.text_encoder
    wide = width(pipe.text_encoder)
    before = draw(other)
    with embedops.attach(pipe) as mine, embedops.attach(other) as theirs:
        mine.add(Concept("<toy>", {"text_encoder": rows(2, wide, 1)}))
        drawn = draw(pipe)
        assert torch.equal(draw(other), before)
        theirs.add(Concept("<toy>", {"text_encoder": rows(1, wide, 2)}))
        assert not torch.equal(draw(other), before)
        assert torch.equal(draw(pipe), drawn)


def test_an_old_clip_config_pools_at_the_end_of_the_text() -> None:
    pipe = tiny.stable_diffusion()
    wide = width(pipe.text_encoder)
    ids = pipe.tokenizer("a photo of a cat").input_ids
    old = pipe.text_encoder.config.to_dict() | {"eos_token_id": 2}
    encoder = CLIPTextModel(type(pipe.text_encoder.config)(**old)).eval()
    encoder.load_state_dict(pipe.text_encoder.state_dict())
    pipe.text_encoder = encoder
    cat = pipe.tokenizer.convert_tokens_to_ids("cat</w>")
    own = encoder.get_input_embeddings().weight[cat].detach()
    expected = encoder(torch.tensor([ids])).pooler_output
    with embedops.attach(pipe) as session:
        session.add(Concept("<toy>", {"text_encoder": own[None].clone()}))
        said = pipe.tokenizer("a photo of a <toy>", return_tensors="pt").input_ids
        assert int(said.max()) >= encoder.config.vocab_size
        assert torch.equal(encoder(said).pooler_output, expected)
    assert wide == own.shape[0]


def test_both_encoders_of_sdxl() -> None:
    pipe = stable_diffusion_xl.stable_diffusion_xl()
    vectors = {n: rows(1, width(getattr(pipe, n))) for n in ("text_encoder", "text_encoder_2")}
    one = Concept("<toy>", {"text_encoder": vectors["text_encoder"]}, said="cat")
    with embedops.attach(pipe) as session:
        session.add(Concept("<toy>", vectors))
        both = draw(pipe)
        session.remove("<toy>")
        session.add(one)
        assert not torch.equal(draw(pipe), both)
        spelt = pipe.tokenizer_2.convert_ids_to_tokens(pipe.tokenizer_2("a <toy>").input_ids)
        assert "cat</w>" in spelt
        session.remove("<toy>")
        with pytest.raises(ConfigError, match="text_encoder_2"):
            session.add(replace(one, said=""))


def test_encoders_of_other_families() -> None:
    pipe = flux.flux()
    vectors = {n: rows(2, width(getattr(pipe, n))) for n in ("text_encoder", "text_encoder_2")}
    before = draw(pipe)
    with embedops.attach(pipe) as session:
        session.add(Concept("<toy>", vectors))
        assert not torch.equal(draw(pipe), before)
    assert torch.equal(draw(pipe), before)


def test_a_tokenizer_that_cannot_be_taught_changes_nothing() -> None:
    pipe = kolors.kolors()
    tokenizer, before = pipe.tokenizer, draw(pipe, "a photo of a cat")
    toy = Concept("<toy>", {"text_encoder": rows(1, width(pipe.text_encoder))})
    with embedops.attach(pipe) as session:
        for _ in range(2):
            with pytest.raises(ConfigError, match="not built on the tokenizers library"):
                session.add(toy)
        assert session.concepts == ()
        assert pipe.tokenizer is tokenizer
        assert torch.equal(draw(pipe, "a photo of a cat"), before)


def test_a_table_longer_than_the_vocabulary() -> None:
    pipe = tiny.stable_diffusion()
    pipe.text_encoder.resize_token_embeddings(len(pipe.tokenizer) + 40)
    vectors = rows(2, width(pipe.text_encoder))
    before = draw(pipe)
    with embedops.attach(pipe) as session:
        session.add(Concept("<toy>", {"text_encoder": vectors}))
        ids = pipe.tokenizer("<toy>").input_ids[1:3]
        read = pipe.text_encoder.get_input_embeddings()(torch.tensor(ids))
        assert torch.equal(read, vectors)
        assert not torch.equal(draw(pipe), before)
    assert torch.equal(draw(pipe), before)


def test_another_encoder_of_the_same_width_is_refused() -> None:
    pipe, other = tiny.stable_diffusion(), tiny.stable_diffusion(seed=5)
    toy = Concept(
        "<toy>",
        {"text_encoder": rows(1, width(pipe.text_encoder))},
        marks={"text_encoder": mark(pipe.text_encoder)},
        origin={"model": "the first"},
    )
    with embedops.attach(pipe) as session:
        session.add(toy)
    half = pipe.text_encoder.bfloat16()
    with embedops.attach(pipe) as session:
        session.add(toy)
    assert half.dtype == torch.bfloat16
    with (
        embedops.attach(other) as session,
        pytest.raises(ConfigError, match=r"learnt for .* of the first"),
    ):
        session.add(toy)
    with (
        embedops.attach(other) as session,
        pytest.raises(ConfigError, match=r"8 wide.*this StableDiffusionPipeline has"),
    ):
        session.add(Concept("<toy>", {"text_encoder": torch.zeros(1, 8)}))


def test_outputs_take_the_placeholders_positions_before_any_plugin() -> None:
    pipe = tiny.stable_diffusion()
    wide = width(pipe.text_encoder)
    learnt = rows(2, wide, 3)
    behind = Concept("<toy>", {"text_encoder": rows(2, wide)}, outputs={"text_encoder": learnt})
    read: list[torch.Tensor] = []

    def note(_module: object, _args: object, kwargs: dict[str, Any]) -> None:
        read.append(kwargs["encoder_hidden_states"])

    with embedops.attach(pipe) as session:
        session.add(behind)
        pipe.unet.register_forward_pre_hook(note, with_kwargs=True)
        draw(pipe, ["a photo of a cat", PROMPT], guidance_scale=1.0)
        start = pipe.tokenizer(PROMPT).input_ids.index(pipe.text_encoder.config.vocab_size)
        plain = pipe.encode_prompt(["a photo of a cat"], "cpu", 1, False)[0]
    assert torch.equal(read[-1][1, start : start + 2], learnt)
    assert torch.equal(read[-1][0], plain[0])


def test_a_detached_session_takes_no_concept() -> None:
    pipe = tiny.stable_diffusion()
    session = embedops.attach(pipe)
    session.detach()
    with pytest.raises(AttachError, match="detached"):
        session.add(Concept("<toy>", {"text_encoder": rows(1, width(pipe.text_encoder))}))
    with pytest.raises(ConfigError, match="no concept '<toy>'"):
        session.remove("<toy>")


@pytest.mark.parametrize("token", ["", " toy", "x" * 65])
def test_what_cannot_be_a_placeholder(token: str) -> None:
    pipe = tiny.stable_diffusion()
    with embedops.attach(pipe) as session, pytest.raises(ConfigError):
        session.add(Concept(token, {"text_encoder": rows(1, width(pipe.text_encoder))}))
