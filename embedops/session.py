"""Plugins at work in a pipeline, and no trace of them afterwards."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Literal

import torch
from torch import nn

from embedops.call import Call, Seen
from embedops.concepts import Concept
from embedops.errors import AttachError, GuardError
from embedops.extension import AnyPlugin
from embedops.families import Adapter, Bundle, Side
from embedops.features import FeatureEdit, Step
from embedops.placed import PlacedConcepts
from embedops.reports import Report, Verdict
from embedops.resolve import resolve
from embedops.schedule import Schedule
from embedops.signatures import forward_names, named_arguments
from embedops.swap import Shape, Swap

Policy = Literal["fail-closed", "allow-unchecked"]

_ATTACHED = "_embedops_session"


class Session:
    """Plugins attached to one pipeline object; made by `attach`.

    A context manager: leaving it detaches, also after an exception or Ctrl-C. While attached the
    pipeline is used as before. Pipelines that share the weights are not affected.
    """

    def __init__(
        self, adapter: Adapter, plugins: tuple[AnyPlugin, ...], policy: Policy = "fail-closed"
    ) -> None:
        self.plugins = plugins
        self.policy = policy
        self._adapter = adapter
        self._pipe = adapter.pipe
        self._calls = threading.local()
        self._report: Report | None = None
        self._features = {
            i: feature for i, p in enumerate(plugins) if (feature := p.features()) is not None
        }
        self._handles: list[Any] = []
        self._hooked: dict[str, nn.Module] = {}
        self._wrapped: dict[str, Callable[..., Any]] = {}
        self._kept: dict[str, Any] = {}
        self._concepts = PlacedConcepts(adapter)

    @property
    def attached(self) -> bool:
        return bool(self._wrapped)

    @property
    def report(self) -> Report:
        """What was done in the last call.

        Raises:
            AttachError: the pipeline has not been called yet.
        """
        if self._report is None:
            raise AttachError("no report yet: call the pipeline first, then read session.report.")
        return self._report

    @property
    def concepts(self) -> tuple[Concept, ...]:
        """The learned concepts that prompts may name."""
        return self._concepts.known

    def add(self, concept: Concept) -> Session:
        """Let prompts name a learned concept, until it is removed or the session detached.

        Raises:
            ConfigError: its token is in use, or the pipeline has no text encoder that it was
                learnt for; nothing was changed then.
            AttachError: the session was detached.
        """
        if not self.attached:
            raise AttachError("this session was detached. Make a new one with embedops.attach().")
        self._concepts.add(concept)
        return self

    def remove(self, concept: Concept | str) -> None:
        """Forget a concept, given as it is or by its token.

        Raises:
            ConfigError: it is not known here.
        """
        self._concepts.remove(concept if isinstance(concept, str) else concept.token)

    def attach(self) -> Session:
        """Hook in. `embedops.attach` has done this already.

        Raises:
            AttachError: the pipeline has a session already.
        """
        other = getattr(vars(self._pipe).get("encode_prompt"), _ATTACHED, None)
        if other is not None:
            raise AttachError(
                f"this pipeline has a session already: {other!r}. Detach it first, or give all "
                f"plugins to one attach(...); they compose in the order given."
            )
        self._hook_denoisers()
        try:
            for feature in self._features.values():
                feature.apply(self._hooked[self._adapter.denoisers[0]])
            if hasattr(self._pipe, "check_inputs"):
                self._wrap("check_inputs", self._begin)
            self._wrap("encode_prompt", self._encode_prompt)
            self._wrap("progress_bar", self._denoise)
            self._wrap("maybe_free_model_hooks", self._finish)
        except BaseException:
            self.detach()
            raise
        return self

    def detach(self) -> None:
        """Restore the pipeline bit for bit. Detaching twice is the same as once."""
        for name, wrapper in self._wrapped.items():
            if vars(self._pipe).get(name) is wrapper:
                if name in self._kept:
                    setattr(self._pipe, name, self._kept[name])
                else:
                    delattr(self._pipe, name)
        self._wrapped.clear()
        self._kept.clear()
        for feature in self._features.values():
            feature.remove()
        self._unhook_denoisers()
        self._concepts.clear()
        self._calls = threading.local()

    def __enter__(self) -> Session:
        if not self.attached:
            raise AttachError("this session was detached. Make a new one with embedops.attach().")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.detach()

    def __repr__(self) -> str:
        state = "attached" if self.attached else "detached"
        listed = ", ".join(map(repr, self.plugins)) or "no plugins"
        return f"<Session {state} to {type(self._pipe).__name__}: {listed}>"

    # The pipeline's methods, wrapped on the instance: their inputs and outputs pass unchanged.

    def _wrap(self, name: str, around: Callable[..., Any]) -> None:
        original = getattr(self._pipe, name)
        if name in vars(self._pipe):
            self._kept[name] = original
        wrapper = functools.wraps(original)(functools.partial(around, original))
        setattr(wrapper, _ATTACHED, self)
        setattr(self._pipe, name, wrapper)
        self._wrapped[name] = wrapper

    def _begin(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self._calls.current = None
        result = original(*args, **kwargs)
        self._calls.current = Call()
        return result

    def _encode_prompt(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        call: Call | None = getattr(self._calls, "current", None)
        self._calls.current = None  # so that nothing stays behind where encoding raises
        encoded = call is not None and bool(call.parts or call.resolved)
        if call is None or call.done or (encoded and not self._adapter.encodes_in_parts):
            call = Call()
        self._follow_replaced_denoisers()
        arguments = named_arguments(original, args, kwargs)
        result, observed = self._adapter.observe(original, arguments)
        call.parts.append(observed)
        self._calls.current = call
        if not self._adapter.encodes_in_parts:
            self._resolve(call)
        return result

    def _denoise(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """The pipeline's loop begins: some skip `encode_prompt` where embeddings are given."""
        if getattr(self._calls, "current", None) is None:
            self._unchecked()
            self._calls.current = Call()
            self._calls.current.unchecked = True
        return original(*args, **kwargs)

    def _resolve(self, call: Call) -> None:
        """Ask the plugins, once all that the call encodes is known."""
        self._calls.current = None
        observed = self._adapter.join(call.parts) if call.parts else None
        if observed is None or observed.conditioning is None:
            self._unchecked()
            call.unchecked = True
        else:
            schedule, verdicts = resolve(
                self.plugins, observed.conditioning, observed.encoder, self._concepts.edit
            )
            self._report = Report(verdicts, tuple(() for _ in verdicts), 0)
            call.resolved = (Seen(observed.images_per_prompt, observed.unnamed), schedule)
            call.parts.clear()
        self._calls.current = call

    def _unchecked(self) -> None:
        if self.policy != "allow-unchecked" and self.plugins:
            raise GuardError(
                "the pipeline was called with embeddings and no prompt, so nothing can be "
                "examined. Pass the prompt as text, or attach with policy='allow-unchecked' to let "
                "such calls through, reported as not checked."
            )
        self._report = Report((Verdict("", False, None, (), ()),), ((),), 0)

    def _finish(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        call: Call | None = getattr(self._calls, "current", None)
        self._calls.current = None
        if call is not None and call.done == 0 and not call.unchecked:
            pending = bool(call.parts and self.plugins)
            if pending or (call.resolved is not None and any(call.resolved[1].edited())):
                raise GuardError(
                    "the pipeline finished without calling the denoiser that the session is "
                    "attached to, so the edits never took effect. Attach again after replacing a "
                    "component."
                )
        return original(*args, **kwargs)

    # The denoisers.

    def _hook_denoisers(self) -> None:
        for name in (*self._adapter.denoisers, *self._adapter.companions):
            module = getattr(self._pipe, name, None)
            if module is None:
                continue
            denoises = name in self._adapter.denoisers
            # Hooks that the compiler skips leave the denoiser's own graph as it was.
            before = _outside_graph(functools.partial(self._before, denoises))
            self._handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
            if denoises:
                after = _outside_graph(self._after)
                self._handles.append(
                    module.register_forward_hook(after, with_kwargs=True, always_call=True)
                )
            self._hooked[name] = module

    def _unhook_denoisers(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._hooked.clear()

    def _follow_replaced_denoisers(self) -> None:
        names = (*self._adapter.denoisers, *self._adapter.companions)
        parts = {name: getattr(self._pipe, name, None) for name in names}
        now = {name: module for name, module in parts.items() if module is not None}
        if now.keys() == self._hooked.keys() and all(now[n] is m for n, m in self._hooked.items()):
            return
        inside = (*self._features.values(), *self._concepts.overlays.values())
        for feature in inside:
            feature.remove()
        self._unhook_denoisers()
        self._hook_denoisers()
        for feature in inside:
            feature.apply(self._hooked[self._adapter.denoisers[0]])

    def _before(
        self, denoises: bool, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        call: Call | None = getattr(self._calls, "current", None)
        if call is None or call.unchecked:
            return None
        names = forward_names(module)[: len(args)]
        inputs = {**dict(zip(names, args, strict=True)), **kwargs}
        if call.swap is None:
            self._start(call, inputs)
            if call.swap is None:
                return None
        swap = call.swap if denoises else call.swap.of_part(inputs)
        if swap is None:
            return None
        sides = swap.layout(inputs)
        is_step = denoises and "positive" in sides and self._adapter.is_step(inputs)
        # The negative side is read after the positive one of the same step, companions before.
        number = call.done if is_step or not denoises else max(call.done - 1, 0)
        index = number % call.total
        pattern = swap.pattern(index, call.total)
        changed, longer = swap.replace(inputs, pattern)
        if longer is not None:
            changed = self._adapter.lengthened(changed, longer)
        if is_step:
            call.done += 1
            changed = self._open_features(call, index, pattern, len(sides), inputs, changed)
        # Passed as they came: a compiled denoiser would trace another split anew.
        return tuple(changed.pop(name) for name in names), changed

    def _start(self, call: Call, inputs: Mapping[str, object]) -> None:
        if call.resolved is None:
            self._resolve(call)
        if call.resolved is None:
            return
        observed, schedule = call.resolved
        call.total = self._adapter.steps()
        call.swap = self._swap(schedule, observed, inputs)
        table = schedule.table(call.total)
        steps = tuple(
            tuple(s for s in range(call.total) if table[s][row]) for row in range(len(table[0]))
        )
        self._report = Report(self.report.verdicts, steps, call.total)

    def _swap(self, schedule: Schedule, observed: Seen, inputs: Mapping[str, object]) -> Swap:
        @functools.cache
        def bundle(version: int, side: Side) -> Bundle | None:
            conditioning = schedule.readings[version].conditioning
            chosen = conditioning if side == "positive" else conditioning.negative
            if chosen is None and version == 0:
                chosen = observed.unnamed
            return None if chosen is None else self._adapter.bundle(chosen, inputs)

        shape = Shape(
            self._adapter.order,
            self._adapter.batch_dims,
            lambda name: self._adapter.rows_per_prompt(name, observed.images_per_prompt, inputs),
        )
        return Swap(schedule, bundle, shape)

    def _open_features(
        self,
        call: Call,
        index: int,
        pattern: tuple[int, ...],
        sides: int,
        inputs: dict[str, object],
        changed: dict[str, object],
    ) -> dict[str, object]:
        call.open = []
        if call.resolved is None:
            return changed
        observed, schedule = call.resolved
        images = range(observed.images_per_prompt)
        for feature, prompts in self._at_work(call, schedule, pattern):
            if prompts:
                rows = tuple(prompt * len(images) + image for prompt in prompts for image in images)
                places = tuple(spots for spots in prompts.values() for _ in images)
                count = len(pattern) * len(images)
                step = Step(index, call.total, inputs, rows, count, sides, places)
                changed = feature.before(step, changed)
                call.open.append((feature, step))
        return changed

    def _at_work(
        self, call: Call, schedule: Schedule, pattern: tuple[int, ...]
    ) -> Iterator[tuple[FeatureEdit, dict[int, tuple[int, ...]]]]:
        """Every edit of features with the prompts that it is to act on now, and where in them."""
        for number, feature in self._features.items():
            readings = (schedule.readings[version] for version in pattern)
            yield feature, {row: () for row, r in enumerate(readings) if number in r.plugins}
        for token, overlay in self._concepts.overlays.items():
            named = {}
            for row, version in enumerate(pattern):
                reading, key = schedule.readings[version], (token, version)
                if key not in call.naming:
                    call.naming[key] = self._concepts.naming(token, reading.conditioning)
                spots = call.naming[key][reading.rows.index(row)]
                if spots:
                    named[row] = spots
            yield overlay, named

    def _after(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> Any:
        call: Call | None = getattr(self._calls, "current", None)
        if call is None:
            return output
        for feature, step in reversed(call.open):
            if output is None:  # the denoiser raised
                feature.abandon()
            else:
                output = feature.after(step, output)
        call.open = []
        return output


def _outside_graph(hook: Callable[..., Any]) -> Callable[..., Any]:
    disabled: Callable[..., Any] = torch.compiler.disable(hook)  # type: ignore[no-untyped-call]
    return disabled
