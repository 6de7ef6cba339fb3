from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from families import animatediff, stable_diffusion_xl

import embedops
from embedops import Concept, ConfigError, GuardError
from embedops.overlay import Overlay

PLAIN, NAMED = "a photo of a cat", "a photo of a <toy>"


def overlay(pipe: Any, *, full: bool = False, seed: int = 0) -> dict[str, torch.Tensor]:
    """Large additions to every key and value projection."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for path, layer in pipe.unet.named_modules():
        if ".attentions." in path and path.endswith(("attn2.to_k", "attn2.to_v")):
            rows, columns = layer.weight.shape
            if full:
                found[f"{path}.delta"] = torch.randn(rows, columns, generator=generator)
            else:
                found[f"{path}.down"] = torch.randn(2, columns, generator=generator)
                found[f"{path}.up"] = torch.randn(rows, 2, generator=generator)
    return found


def concept(pipe: Any, name: str = "toy", **settings: Any) -> Concept:
    encoders = [n for n in ("text_encoder", "text_encoder_2") if getattr(pipe, n, None) is not None]
    widths = {n: getattr(pipe, n).get_input_embeddings().weight.shape[1] for n in encoders}
    rows = {n: 0.2 * torch.ones(1, width) for n, width in widths.items()}
    return Concept(f"<{name}>", rows, overlay=overlay(pipe, **settings))


def draw(pipe: Any, prompts: list[str], **settings: Any) -> torch.Tensor:
    drawn = pipe(
        prompts,
        num_inference_steps=3,
        generator=[torch.Generator().manual_seed(n) for n in range(len(prompts))],
        output_type="latent",
        height=16,
        width=16,
        **settings,
    )
    return torch.as_tensor(drawn[0])


@torch.no_grad()
@pytest.mark.parametrize("full", [True, False])
def test_at_all_places_it_is_a_change_of_the_weights(full: bool) -> None:
    pipe, changed = tiny.stable_diffusion(), tiny.stable_diffusion()
    weights = overlay(pipe, full=full)
    for path, layer in changed.unet.named_modules():
        if f"{path}.delta" in weights:
            layer.weight += weights[f"{path}.delta"]
        elif f"{path}.up" in weights:
            layer.weight += weights[f"{path}.up"] @ weights[f"{path}.down"]
    noise = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    text = torch.randn(2, 7, 32, generator=torch.Generator().manual_seed(1))
    plain = pipe.unet(noise, 500, text).sample
    added = Overlay(weights)
    added.apply(pipe.unet)
    everywhere, first = torch.ones(2, 7, dtype=torch.bool), torch.zeros(2, 7, dtype=torch.bool)
    first[0] = True
    with added.where(lambda: everywhere):
        found = pipe.unet(noise, 500, text).sample
    with added.where(lambda: first):
        half = pipe.unet(noise, 500, text).sample
    expected = changed.unet(noise, 500, text).sample
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(half[0], expected[0], atol=1e-4, rtol=1e-3)
    assert torch.equal(half[1], plain[1])
    assert torch.equal(pipe.unet(noise, 500, text).sample, plain)
    added.remove()


def test_only_the_tokens_that_name_it_read_it() -> None:
    pipe = tiny.stable_diffusion()
    toy = concept(pipe)
    path = next(n for n in toy.overlay if n.endswith(".up")).removesuffix(".up")
    read: list[torch.Tensor] = []
    with embedops.attach(pipe) as session:
        session.add(toy)
        handle = pipe.unet.get_submodule(path).register_forward_hook(
            lambda _layer, _args, output: read.append(output)
        )
        draw(pipe, [PLAIN, NAMED], guidance_scale=5.0)
        session.remove(toy)
        session.add(toy.subject())
        draw(pipe, [PLAIN, NAMED], guidance_scale=5.0)
        handle.remove()
    differs = (read[0] != read[len(read) // 2]).any(-1)
    place = 5  # after BOS and "a photo of a"
    assert differs.nonzero().tolist() == [[1, place], [3, place]]  # both sides of the guidance


@pytest.mark.parametrize("guidance", [1.0, 5.0])
def test_only_prompts_that_name_it_read_it(guidance: float) -> None:
    pipe = tiny.stable_diffusion()
    before = draw(pipe, [PLAIN, PLAIN, PLAIN], guidance_scale=guidance)
    toy = concept(pipe)
    with embedops.attach(pipe) as session:
        session.add(toy)
        mixed = draw(pipe, [PLAIN, NAMED, PLAIN], guidance_scale=guidance)
        session.remove(toy)
        after = draw(pipe, [PLAIN, PLAIN, PLAIN], guidance_scale=guidance)
    assert torch.equal(mixed[0], before[0])
    assert torch.equal(mixed[2], before[2])
    assert not torch.allclose(mixed[1], before[1], atol=1e-3)
    assert torch.equal(after, before)


def test_a_part_is_enough_and_several_concepts_keep_apart() -> None:
    pipe = tiny.stable_diffusion()
    toy = concept(pipe)
    with_part = replace(toy, parts={"<toy-pose-1>": toy.vectors})
    doll = concept(pipe, "doll", seed=1)
    prompts = ["a <toy>", "a <toy-pose-1>", "a <doll>"]
    with embedops.attach(pipe) as session:
        session.add(with_part).add(doll)
        together = draw(pipe, prompts)
        session.remove("<doll>")
        alone = draw(pipe, prompts[:2])
    torch.testing.assert_close(together[:2], alone, atol=1e-3, rtol=1e-2)
    expected = draw_one(toy, "a <toy>")
    torch.testing.assert_close(together[:1], expected, atol=1e-3, rtol=1e-2)
    assert not torch.allclose(together[0], together[2], atol=1e-3)


def draw_one(one: Concept, prompt: str) -> torch.Tensor:
    pipe = tiny.stable_diffusion()
    with embedops.attach(pipe) as session:
        session.add(one)
        return draw(pipe, [prompt])


def test_several_images_a_prompt_and_sdxl() -> None:
    pipe = stable_diffusion_xl.stable_diffusion_xl()
    with embedops.attach(pipe) as session:
        session.add(concept(pipe))
        seeds = [torch.Generator().manual_seed(n) for n in range(4)]
        settings = {"height": 16, "width": 16, "num_inference_steps": 2, "output_type": "latent"}
        both = pipe([PLAIN, NAMED], generator=seeds, num_images_per_prompt=2, **settings).images
    seeds = [torch.Generator().manual_seed(n) for n in range(2)]
    plain = pipe([PLAIN], generator=seeds, num_images_per_prompt=2, **settings).images
    torch.testing.assert_close(both[:2], plain)
    assert not torch.allclose(both[2:], plain, atol=1e-3)


def test_frames_of_a_clip_read_it_with_their_prompt() -> None:
    pipe = animatediff.animatediff()
    before = draw(pipe, [PLAIN, PLAIN], num_frames=2)
    with embedops.attach(pipe) as session:
        session.add(concept(pipe))
        mixed = draw(pipe, [PLAIN, NAMED], num_frames=2)
    assert torch.equal(mixed[0], before[0])
    assert not torch.allclose(mixed[1], before[1], atol=1e-3)


def test_another_pipeline_with_the_same_unet_does_not_see_it() -> None:
    pipe = tiny.stable_diffusion()
    other = type(pipe).from_pipe(pipe)
    other.scheduler = type(pipe.scheduler).from_config(pipe.scheduler.config)
    expected = draw(other, [PLAIN])
    found: list[torch.Tensor] = []
    with embedops.attach(pipe) as session:
        session.add(concept(pipe))
        threads = [
            threading.Thread(target=lambda: found.append(draw(other, [PLAIN]))),
            threading.Thread(target=draw, args=(pipe, [NAMED] * 3)),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert torch.equal(found[0], expected)


def test_a_redacted_name_is_not_read() -> None:
    pipe = tiny.stable_diffusion()
    with embedops.attach(pipe, embedops.plugin("redact", phrases=["<toy>"])) as session:
        session.add(concept(pipe))
        redacted = draw(pipe, [NAMED])
        assert session.report.verdicts[0].flagged
    vectors = concept(pipe).subject()
    with embedops.attach(pipe, embedops.plugin("redact", phrases=["<toy>"])) as session:
        session.add(vectors)
        assert torch.equal(draw(pipe, [NAMED]), redacted)


def test_a_replaced_denoiser_is_followed() -> None:
    pipe, other = tiny.stable_diffusion(), tiny.stable_diffusion()
    with embedops.attach(pipe) as session:
        session.add(concept(pipe))
        expected = draw(pipe, [NAMED])
        first, pipe.unet = pipe.unet, other.unet
        assert torch.equal(draw(pipe, [NAMED]), expected)
    for unet in (first, other.unet):
        assert not any(m._forward_hooks for m in unet.modules())


def test_a_plugin_that_adds_rows_is_refused() -> None:
    pipe = tiny.stable_diffusion()
    safree = embedops.plugin("safree", phrases=["cat"], re_attention=True, self_validation=False)
    with embedops.attach(pipe, safree) as session:
        session.add(concept(pipe))
        with pytest.raises(GuardError, match=r"concept\.subject\(\)"):
            draw(pipe, ["a <toy> and a cat"])


def test_another_model_is_refused_and_nothing_changes() -> None:
    pipe = tiny.stable_diffusion()
    toy = concept(pipe)
    strange = replace(toy, overlay={"up_blocks.9.to_k.delta": torch.zeros(2, 2)})
    name = next(n for n in toy.overlay if n.endswith(".up"))
    wide = replace(toy, overlay={**toy.overlay, name: torch.zeros(7, 2)})
    with embedops.attach(pipe) as session:
        with pytest.raises(ConfigError, match=r"up_blocks\.9\.to_k.*another model"):
            session.add(strange)
        with pytest.raises(ConfigError, match="of shape"):
            session.add(wide)
        assert session.concepts == ()
        session.add(toy)
    assert not any(m._forward_hooks for m in pipe.unet.modules())


def test_broken_overlays_are_refused() -> None:
    pipe = tiny.stable_diffusion()
    toy = concept(pipe)
    name = next(n for n in toy.overlay if n.endswith(".up"))
    half = {n: t for n, t in toy.overlay.items() if n != name}
    with embedops.attach(pipe) as session:
        with pytest.raises(ConfigError, match="expected down and up"):
            session.add(replace(toy, overlay=half))
        with pytest.raises(ConfigError, match=r"PATH\.down"):
            session.add(replace(toy, overlay={"conv_in.weight": torch.zeros(2, 2)}))
    with pytest.raises(ConfigError, match="NaN"):
        replace(toy, overlay={name: torch.full((2, 2), float("nan"))})


def test_it_is_saved_scaled_and_compared(tmp_path: Path) -> None:
    pipe = tiny.stable_diffusion()
    toy = concept(pipe)
    assert Concept.load(toy.save(tmp_path / "toy.safetensors")) == toy
    assert toy * 1.0 == toy
    assert toy.subject() != toy
    name = next(n for n in toy.overlay if n.endswith(".up")).removesuffix(".up")
    product = toy.overlay[f"{name}.up"] @ toy.overlay[f"{name}.down"]
    half = (toy * 0.5).overlay
    torch.testing.assert_close(half[f"{name}.up"] @ half[f"{name}.down"], product / 2)
    with pytest.raises(ConfigError, match="overlay cannot be added"):
        toy + toy
