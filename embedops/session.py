"""Attaching plugins to a pipeline, and leaving no trace."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Literal

import torch
from torch import nn

from embedops.encoders import Encoder
from embedops.errors import AttachError, GuardError
from embedops.extension import AnyPlugin, as_plugins
from embedops.families import Adapter, Observed, adapter_for
from embedops.features import FeatureEdit, Step
from embedops.reports import Report, Verdict
from embedops.resolve import resolve
from embedops.schedule import Schedule
from embedops.swap import Bundle, Swap

Policy = Literal["fail-closed", "allow-unchecked"]

_ATTACHED = "_embedops_session"


class _Call:
    """One call of the pipeline, from `encode_prompt` to the last step."""

    def __init__(self, swap: Swap, schedule: Schedule) -> None:
        self.swap = swap
        self.schedule = schedule
        self.done = 0  # finished calls of the denoiser that counts the steps
        self.total = 0
        self.open: list[tuple[FeatureEdit, Step]] = []


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
            self._wrap("encode_prompt", self._encode_prompt)
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

    def _encode_prompt(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self._calls.current = None
        self._follow_replaced_denoisers()
        arguments = inspect.signature(original).bind(*args, **kwargs).arguments
        result, observed = self._adapter.observe(original, arguments)
        if observed.conditioning is None:
            self._unchecked()
            return result
        schedule, verdicts = resolve(self.plugins, observed.conditioning, observed.encoder)
        self._report = Report(verdicts, tuple(() for _ in verdicts), 0)
        self._calls.current = _Call(self._swap(schedule, observed), schedule)
        return result

    def _unchecked(self) -> None:
        if self.policy != "allow-unchecked" and self.plugins:
            raise GuardError(
                "the pipeline was called with embeddings and no prompt, so nothing can be "
                "examined. Pass the prompt as text, or attach with policy='allow-unchecked' to let "
                "such calls through, reported as not checked."
            )
        self._report = Report((Verdict("", False, None, (), ()),), ((),), 0)

    def _finish(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        call: _Call | None = getattr(self._calls, "current", None)
        self._calls.current = None
        if call is not None and call.done == 0 and any(call.schedule.edited()):
            raise GuardError(
                "the pipeline finished without calling the denoiser that the session is attached "
                "to, so the edits never took effect. Attach again after replacing a component."
            )
        return original(*args, **kwargs)

    # The denoisers.

    def _hook_denoisers(self) -> None:
        for position, name in enumerate(self._adapter.denoisers):
            module = getattr(self._pipe, name, None)
            if module is None:
                continue
            counts = position == 0
            # Hooks that the compiler skips leave the denoiser's own graph as it was.
            before = _outside_graph(functools.partial(self._before, counts))
            self._handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
            if counts:
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
        parts = {name: getattr(self._pipe, name, None) for name in self._adapter.denoisers}
        now = {name: module for name, module in parts.items() if module is not None}
        if now.keys() == self._hooked.keys() and all(now[n] is m for n, m in self._hooked.items()):
            return
        for feature in self._features.values():
            feature.remove()
        self._unhook_denoisers()
        self._hook_denoisers()
        for feature in self._features.values():
            feature.apply(self._hooked[self._adapter.denoisers[0]])

    def _swap(self, schedule: Schedule, observed: Observed) -> Swap:
        @functools.cache
        def bundle(version: int, side: str) -> Bundle | None:
            conditioning = schedule.readings[version].conditioning
            chosen = conditioning if side == "positive" else conditioning.negative
            return None if chosen is None else self._adapter.bundle(chosen)

        return Swap(schedule, bundle, self._adapter.halves, observed.images_per_prompt)

    def _before(
        self, counts: bool, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        call: _Call | None = getattr(self._calls, "current", None)
        if call is None:
            return None
        if call.total == 0:
            self._start(call)
        index = call.done % call.total
        pattern = call.swap.pattern(index, call.total)
        names = _forward_names(module)[: len(args)]
        inputs = {**dict(zip(names, args, strict=True)), **kwargs}
        changed = call.swap.replace(inputs, pattern)
        if counts:
            call.open = []
            for number, feature in self._features.items():
                rows = tuple(
                    row * call.swap.repeat + image
                    for row, version in enumerate(pattern)
                    if number in call.schedule.readings[version].plugins
                    for image in range(call.swap.repeat)
                )
                if rows:
                    step = Step(index, call.total, inputs, rows, call.swap.rows)
                    changed = feature.before(step, changed)
                    call.open.append((feature, step))
        # Passed as they came: a compiled denoiser would trace another split anew.
        return tuple(changed.pop(name) for name in names), changed

    def _start(self, call: _Call) -> None:
        call.total = self._adapter.steps()
        table = call.schedule.table(call.total)
        steps = tuple(
            tuple(s for s in range(call.total) if table[s][row]) for row in range(len(table[0]))
        )
        self._report = Report(self.report.verdicts, steps, call.total)

    def _after(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> Any:
        call: _Call | None = getattr(self._calls, "current", None)
        if call is None:
            return output
        call.done += 1
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


def _forward_names(module: nn.Module) -> list[str]:
    """The names of the arguments of a module's forward."""
    inner = getattr(module, "_orig_mod", module)  # torch.compile's wrapper takes *args
    return list(inspect.signature(type(inner).forward).parameters)[1:]


def attach(pipe: Any, *plugins: AnyPlugin, policy: Policy = "fail-closed") -> Session:
    """Hook `plugins` into `pipe`; they compose in the order given.

    Args:
        pipe: an unmodified diffusers pipeline of a supported family.
        plugins: from `embedops.plugin(...)`.
        policy: `"fail-closed"` raises where a plugin cannot look, such as at embeddings given
            without a prompt; `"allow-unchecked"` lets those pass, reported as not checked.

    Raises:
        UnsupportedPipelineError: no adapter knows the pipeline's class; it is left untouched.
        AttachError: the pipeline has a session already.
        ConfigError: something else than a plugin object was given, or an unknown policy.
    """
    if policy not in ("fail-closed", "allow-unchecked"):
        raise AttachError(
            f"unknown policy {policy!r}: expected 'fail-closed' or 'allow-unchecked'."
        )
    return Session(adapter_for(pipe), as_plugins(plugins), policy).attach()


def screen(
    pipe: Any, prompts: str | Sequence[str], plugin: AnyPlugin | Sequence[AnyPlugin]
) -> list[Verdict]:
    """The text side alone: what a plugin, or a stack of them, makes of prompts. Draws nothing.

    Raises:
        UnsupportedPipelineError: no adapter knows the pipeline's class.
        GuardError: an embedding cannot be examined, such as one that holds NaN.
    """
    given = [prompts] if isinstance(prompts, str) else list(prompts)
    if not given:
        return []
    stack = as_plugins(plugin if isinstance(plugin, Sequence) else [plugin])
    encoder: Encoder = adapter_for(pipe).encoder()
    return list(resolve(stack, encoder.encode(given), encoder)[1])
