"""The tests that every adapter passes."""

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from embedops.attaching import attach
from embedops.encoders import Encoder
from embedops.errors import GuardError
from embedops.extension import plugin, plugins
from embedops.families import adapter_for
from embedops.streams import Conditioning, Role
from embedops.testing.case import CAT, DOG, LONGER, PISTOL, WORDS, Case
from embedops.testing.read_as import Question, read_as
from embedops.testing.watching import denoisers, louder, outputs, waits


class Conformance:
    """The tests. A subclass sets `cases`.

    Each case's pipeline is built once and used by all of its tests: what leaves a trace in it
    fails the next one.
    """

    cases: ClassVar[Sequence[Case]] = ()

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run every test with every case."""
        if "case" in metafunc.fixturenames:
            metafunc.parametrize("case", self.cases, ids=[case.name for case in self.cases])

    @pytest.fixture(autouse=True)
    def _known_limits(self, case: Case, request: pytest.FixtureRequest) -> None:
        name = request.node.originalname
        if name in case.skip:
            pytest.skip(case.skip[name])

    def test_attach_and_detach_leave_no_trace(self, case: Case) -> None:
        pipe = _built(case)
        before = _plain(case, PISTOL, DOG)
        with attach(pipe, read_as()):
            edited = case.run(pipe, [PISTOL, DOG])
        assert not torch.equal(edited[0], before[0])
        assert torch.equal(case.run(pipe, [PISTOL, DOG]), before)

    def test_nothing_to_edit_is_bit_exact(self, case: Case) -> None:
        pipe = _built(case)
        before = _plain(case, PISTOL, DOG)
        for stack in ((), (read_as(where="nowhere"),)):
            with attach(pipe, *stack):
                assert torch.equal(case.run(pipe, [PISTOL, DOG]), before)

    def test_the_same_embeddings_are_bit_exact(self, case: Case) -> None:
        pipe = _built(case)
        with attach(pipe, read_as(None)):
            assert torch.equal(case.run(pipe, [PISTOL, DOG]), _plain(case, PISTOL, DOG))

    def test_every_step_equals_a_run_with_those_embeddings(self, case: Case) -> None:
        with attach(_built(case), read_as()) as session:
            edited = case.run(_built(case), [PISTOL, DOG])
        assert torch.equal(edited, _plain(case, CAT, DOG))
        assert session.report.total > 0
        assert session.report.steps[0] == tuple(range(session.report.total))
        assert session.report.steps[1] == ()

    def test_only_the_chosen_steps_are_edited(self, case: Case) -> None:
        pipe = _built(case)
        with outputs(pipe) as plain:
            case.run(pipe, [PISTOL, DOG])
        with attach(pipe, read_as(start=0.5)) as session, outputs(pipe) as edited:
            case.run(pipe, [PISTOL, DOG])
        calls_a_step = len(plain) // session.report.total
        begun = calls_a_step * session.report.steps[0][0]
        assert 0 < begun < len(plain) == len(edited)
        same = [torch.equal(ours, theirs) for ours, theirs in zip(edited, plain, strict=True)]
        # In the first edited step a call of its own for the negative side is still the same.
        assert all(same[:begun])
        assert not any(same[begun::calls_a_step])
        assert not any(same[begun + calls_a_step :])

    def test_a_batch_of_three_equals_three_single_runs(self, case: Case) -> None:
        pipe, prompts = _built(case), [PISTOL, DOG, "a photo of the pistol"]
        with attach(pipe, read_as()):
            together = case.run(pipe, prompts)
            for row, prompt in enumerate(prompts):
                alone = case.run(pipe, [prompt] * 3)[row]
                torch.testing.assert_close(together[row], alone, atol=case.tolerance, rtol=0)

    def test_rows_that_are_safe_keep_their_bits(self, case: Case) -> None:
        pipe = _built(case)
        with attach(pipe, read_as()):
            edited = case.run(pipe, [PISTOL, DOG])
        assert torch.equal(edited[1], _plain(case, PISTOL, DOG)[1])

    def test_several_images_a_prompt(self, case: Case) -> None:
        if case.images is None:
            pytest.skip("the pipeline draws one picture a prompt")
        pipe = _built(case)
        plain = _plain(case, PISTOL, DOG, **{case.images: 2})
        with attach(pipe, read_as()):
            edited = case.run(pipe, [PISTOL, DOG], **{case.images: 2})
        alone = _plain(case, CAT, **{case.images: 2})
        torch.testing.assert_close(edited[:2], alone, atol=case.tolerance, rtol=0)
        assert torch.equal(edited[2:], plain[2:])

    def test_negative_prompts(self, case: Case) -> None:
        if not case.negative:
            pytest.skip("the pipeline takes no negative prompt")
        pipe = _built(case)
        avoiding = {"negative_prompt": ["the beach", "a cat"]}
        expected = _plain(case, CAT, DOG, **avoiding)
        assert not torch.equal(expected[0], _plain(case, CAT, DOG)[0])
        with attach(pipe, read_as()):
            assert torch.equal(case.run(pipe, [PISTOL, DOG], **avoiding), expected)

    def test_the_negative_side_can_be_edited(self, case: Case) -> None:
        if not case.negative:
            pytest.skip("the pipeline takes no negative prompt")
        pipe = _built(case)
        given = {"negative_prompt": ["the beach", "the beach"]}
        expected = _plain(case, PISTOL, DOG, negative_prompt=["a table", "the beach"])
        with attach(pipe, read_as(None, negative="a table")):
            edited = case.run(pipe, [PISTOL, DOG], **given)
        torch.testing.assert_close(edited, expected, atol=case.tolerance, rtol=0)
        assert not torch.equal(edited[0], _plain(case, PISTOL, DOG, **given)[0])

    def test_guidance_off(self, case: Case) -> None:
        pipe = _built(case)
        with attach(pipe, read_as()):
            edited = case.run(pipe, [PISTOL, DOG], **case.unguided)
        assert torch.equal(edited, _plain(case, CAT, DOG, **case.unguided))

    def test_a_text_of_another_length(self, case: Case) -> None:
        pipe = _built(case)
        expected = case.run(pipe, [LONGER, LONGER])[:1]
        with attach(pipe, read_as(LONGER)):
            edited = case.run(pipe, [PISTOL, PISTOL])[:1]
        torch.testing.assert_close(edited, expected, atol=case.tolerance, rtol=0)

    def test_bfloat16(self, case: Case) -> None:
        pipe = case.build().to(torch.bfloat16)
        expected = case.run(pipe, [CAT, DOG])
        with attach(pipe, read_as()):
            assert torch.equal(case.run(pipe, [PISTOL, DOG]), expected)

    def test_a_lora_on_the_denoiser(self, case: Case) -> None:
        from peft import LoraConfig, inject_adapter_in_model

        pipe = case.build()
        for denoiser in denoisers(pipe):
            torch.manual_seed(3)
            config = LoraConfig(
                r=2,
                target_modules=["to_q", "to_v", "to_query", "to_value"],
                init_lora_weights=False,
            )
            # What `add_adapter` does, for denoisers that do not have it as well.
            inject_adapter_in_model(config, denoiser)
        expected = case.run(pipe, [CAT, DOG])
        assert not torch.equal(expected, _plain(case, CAT, DOG))
        with attach(pipe, read_as()):
            assert torch.equal(case.run(pipe, [PISTOL, DOG]), expected)

    def test_a_cache_of_the_first_block(self, case: Case) -> None:
        from diffusers import FirstBlockCacheConfig

        pipe = case.build()
        cached = [d for d in denoisers(pipe) if hasattr(d, "enable_cache")]
        if not cached:
            pytest.skip("the denoiser has no cache")
        for denoiser in cached:
            denoiser.enable_cache(FirstBlockCacheConfig(threshold=1e-4))
        expected = case.run(pipe, [CAT, DOG])
        with attach(pipe, read_as()):
            assert torch.equal(case.run(pipe, [PISTOL, DOG]), expected)

    def test_a_compiled_denoiser_keeps_its_graph(self, case: Case) -> None:
        graphs = 0

        def count(graph: torch.fx.GraphModule, _inputs: object) -> Any:
            nonlocal graphs
            graphs += 1
            return graph.forward

        torch.compiler.reset()
        pipe = case.build()
        for name in adapter_for(pipe).denoisers:
            if getattr(pipe, name, None) is not None:
                setattr(pipe, name, torch.compile(getattr(pipe, name), backend=count))
        for _ in range(2):  # some denoisers are traced anew in a second call
            expected = case.run(pipe, [CAT, DOG])
        compiled = graphs
        assert compiled > 0
        with attach(pipe, read_as(stop=0.5)):
            case.run(pipe, [PISTOL, DOG])
        with attach(pipe, read_as()):
            assert torch.equal(case.run(pipe, [PISTOL, DOG]), expected)
        assert graphs == compiled

    def test_every_installed_plugin(self, case: Case) -> None:
        pipe = _built(case)
        before = _plain(case, PISTOL, DOG)
        for info in plugins():
            if "phrases" not in info.options:
                continue
            idle = [plugin(info.name, phrases=())]
            if "strength" in info.options:
                idle.append(plugin(info.name, phrases=["a pistol"], strength=0.0))
            for nothing in idle:
                with attach(pipe, nothing):
                    assert torch.equal(case.run(pipe, [PISTOL, DOG]), before), nothing
            with attach(pipe, plugin(info.name, phrases=["a pistol"])) as session:
                drawn = case.run(pipe, [PISTOL, DOG])
            assert bool(torch.isfinite(drawn).all()), info.name
            for row, steps in enumerate(session.report.steps):
                assert session.report.verdicts[row].checked
                if steps:
                    assert not torch.equal(drawn[row], before[row]), info.name
                else:
                    # A longer text in the batch pads this row, which rounds otherwise.
                    torch.testing.assert_close(drawn[row], before[row], atol=case.tolerance, rtol=0)

    def test_steps_after_the_first_two_wait_for_nothing(self, case: Case) -> None:
        pipe = _built(case)
        with waits(pipe) as plain:
            case.run(pipe, [PISTOL, DOG])
        with attach(pipe, read_as()), waits(pipe) as edited:
            case.run(pipe, [PISTOL, DOG])
        assert len(plain) == len(edited)
        assert sum(edited) > sum(plain)  # what the pipeline passes is compared once
        settled = 2 * len(plain) // case.steps
        assert edited[settled:] == plain[settled:]

    def test_two_threads_with_the_same_weights(self, case: Case) -> None:
        pipe, other = _built(case), case.build()
        for name in adapter_for(pipe).denoisers:
            setattr(other, name, getattr(pipe, name, None))
        expected = {"plain": _plain(case, PISTOL, DOG), "edited": _plain(case, CAT, DOG)}
        found: dict[str, Tensor] = {}
        ready = threading.Barrier(2)

        def work(name: str, mine: Any) -> None:
            ready.wait()
            found[name] = case.run(mine, [PISTOL, DOG])

        with attach(pipe, read_as()):
            threads = [
                threading.Thread(target=work, args=job)
                for job in (("edited", pipe), ("plain", other))
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert found.keys() == expected.keys()
        for name, drawn in expected.items():
            assert torch.equal(found[name], drawn), name

    def test_an_exception_in_the_middle(self, case: Case) -> None:
        pipe = _built(case)
        before = _plain(case, PISTOL, DOG)
        calls = 0

        def fail(*_: object) -> None:
            nonlocal calls
            calls += 1
            if calls == 2:
                raise InterruptedError

        handles = [d.register_forward_pre_hook(fail) for d in denoisers(pipe)]
        with suppress(InterruptedError), attach(pipe, read_as()):
            case.run(pipe, [PISTOL, DOG])
        for handle in handles:
            handle.remove()
        assert calls == 2
        assert torch.equal(case.run(pipe, [PISTOL, DOG]), before)

    def test_positions_and_sentence_vectors(self, case: Case) -> None:
        asked = Question(self._check_answers)
        with attach(_built(case), asked):
            case.run(_built(case), [PISTOL, DOG])
        assert asked.answered == 1

    @staticmethod
    def _check_answers(conditioning: Conditioning, encoder: Encoder) -> None:
        asked = encoder.leave_one_out(conditioning)
        sentences = encoder.pooled([PISTOL, CAT, DOG])
        assert {s.name for s in conditioning.streams} == set(asked) == set(sentences)
        for stream in conditioning.streams:
            for row, prompt in enumerate((PISTOL, DOG)):
                places = stream.positions(row, Role.CONTENT)
                said = "".join(stream.tokens[row][place] for place in places)
                assert said == prompt.replace(" ", ""), stream.name
                one = asked[stream.name][row]
                assert list(one.positions) == places
                assert one.masked.shape == (len(places), one.whole.shape[1])
                assert (one.masked - one.whole).abs().amax(1).min() > 0
                torch.testing.assert_close(
                    one.whole[0], sentences[stream.name][2 * row], atol=1e-3, rtol=1e-3
                )
        assert set(WORDS) - {"a", "of", "on"} <= set(encoder.vocabulary())

    def test_a_callback_that_changes_the_text_is_noticed(self, case: Case) -> None:
        pipe = _built(case)
        denoiser = denoisers(pipe)[0]

        def change(_module: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            return louder(args), louder(kwargs)

        handle = denoiser.register_forward_pre_hook(change, with_kwargs=True)
        try:
            with pytest.raises(GuardError), attach(pipe, read_as()):
                case.run(pipe, [PISTOL, DOG])
        finally:
            handle.remove()

    @pytest.mark.gpu
    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
    def test_model_offloading(self, case: Case) -> None:
        pipe = case.build()
        pipe.enable_model_cpu_offload()
        expected = case.run(pipe, [CAT, DOG])
        with attach(pipe, read_as()):
            assert torch.equal(case.run(pipe, [PISTOL, DOG]), expected)

    @pytest.mark.gpu
    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
    def test_group_offloading(self, case: Case) -> None:
        pipe = case.build().to("cuda")
        for denoiser in denoisers(pipe):
            denoiser.enable_group_offload(
                onload_device=torch.device("cuda"), offload_type="leaf_level"
            )
        expected = case.run(pipe, [CAT, DOG])
        with attach(pipe, read_as()):
            assert torch.equal(case.run(pipe, [PISTOL, DOG]), expected)


@functools.cache
def _built(case: Case) -> Any:
    return case.build()


_DRAWN: dict[tuple[Any, ...], Tensor] = {}


def _plain(case: Case, *prompts: str, **settings: Any) -> Tensor:
    """A run without a session, drawn once."""
    key = (id(case), prompts, repr(sorted(settings.items())))
    if key not in _DRAWN:
        _DRAWN[key] = case.run(_built(case), prompts, **settings)
    return _DRAWN[key]
