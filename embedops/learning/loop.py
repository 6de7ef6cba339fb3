"""The learning loop that all methods share."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import reduce
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as checkpoint_layer

from embedops.errors import ConfigError, LearningError, StopLearning
from embedops.learning import checkpoint
from embedops.learning.checkpoint import Progress
from embedops.learning.denoising import Denoising
from embedops.learning.method import PLACEHOLDER, Ask, MethodConfig, Run, Task
from embedops.learning.objective import Objective

LOG_FILE = "log.jsonl"
_CHECK_TIMES = 4
_CHECK_PICTURES = 8
_CHECKPOINT_EVERY = 100
"""Steps, where no check comes before."""
_SCALE = 2.0**12
"""Of the loss while gradients are computed, so that small ones do not vanish in fp16. A power of
two changes no bit in other types."""
_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class StepReport:
    """One optimiser step, as the log and the progress bar show it.

    Attributes:
        step: from 1.
        steps: of the whole run.
        loss: mean over the step's pictures, the method's penalty included.
        norm: mean length of the vectors.
        moved: their mean distance from the start.
        check: the loss on fixed noise, at steps that check it.
    """

    step: int
    steps: int
    loss: float
    norm: float
    moved: float
    check: float | None = None


class Loop:
    """Steps until the end, with checks, checkpoints and a log.

    Only the run's parameters are learnt. Latents are encoded once. What is drawn at random depends
    on the seed and the step alone, so that a run that was killed goes on to the same result.

    Args:
        task: what is learnt.
        run: the method at work.
        config: its settings.
        folder: for the checkpoint and the log.
        settings: identifies the run; a checkpoint of another is refused.
        process: this one among those that learn together.
    """

    def __init__(
        self,
        task: Task,
        run: Run,
        config: MethodConfig,
        folder: Path,
        settings: str,
        process: PartialState,
    ) -> None:
        self._task, self._run, self._config = task, run, config
        self._folder, self._settings = folder, settings
        self._parameters = dict(run.parameters())
        self._start = {n: v.detach().clone() for n, v in run.vectors().items()}
        self._device = next(iter(self._parameters.values())).device.type
        self._process = process
        self._objective = Objective(task.pipe.scheduler, config.weighting, config.timesteps)
        rates = run.rates()
        self._optimizer = torch.optim.AdamW(
            [{"params": [p], "lr": rates.get(n, config.rate)} for n, p in self._parameters.items()]
        )
        self._latents = _encoded(task.denoising, [p.pixels for p in task.pictures])
        self._every = config.check_every or _interval(config, len(task.pictures))

    def learn(self, on_step: Callable[[StepReport], None] | None = None) -> Progress:
        """Run to the end, or until `on_step` raises `StopLearning`, and leave the run's parameters
        at the best check.

        Raises:
            LearningError: the loss is not a number, or memory ran out; the best so far is in the
                checkpoint and in the run.
        """
        path = self._folder / checkpoint.FILE
        progress = checkpoint.restore(path, self._settings, self._parameters, self._optimizer)
        progress.best = progress.best or self._now()
        again = self._run.at_work if self._config.gradient_checkpointing else None
        with _Frozen(self._task.denoising, again):
            try:
                while progress.step < self._config.steps:
                    self._one_step(progress, path, on_step)
            except StopLearning:
                self._weigh(progress)
            except torch.OutOfMemoryError as error:
                raise LearningError(
                    f"out of memory at step {progress.step + 1}. Lower `batch` (now "
                    f"{self._config.batch}) and raise `accumulate` by as much, turn on "
                    f"`gradient_checkpointing`, or set precision='bf16'."
                ) from error
            finally:
                self._set(progress.best)
        return progress

    def _one_step(
        self, progress: Progress, path: Path, on_step: Callable[[StepReport], None] | None
    ) -> None:
        loss = self._descend(progress.step)
        progress.step += 1
        last = progress.step == self._config.steps
        check = None
        if last or progress.step % self._every == 0:
            check = self._weigh(progress)
        report = StepReport(progress.step, self._config.steps, loss, *self._lengths(), check)
        if self._process.is_main_process:
            self._log(report)
            if last or check is not None or progress.step % _CHECKPOINT_EVERY == 0:
                checkpoint.save(path, self._settings, progress, self._parameters, self._optimizer)
            if on_step is not None:
                on_step(report)

    def _weigh(self, progress: Progress) -> float:
        """The loss on fixed noise; what is learnt now is kept where it is the best so far."""
        check = self._check()
        if check < progress.best_loss:
            progress.best_loss, progress.best_step = check, progress.step
            progress.best = self._now()
        return check

    def _descend(self, step: int) -> float:
        total = 0.0
        for part in range(self._config.accumulate):
            with self._run.at_work():
                total += self._part_of_step(step, part)
        for parameter in self._parameters.values():
            if parameter.grad is None and self._process.num_processes > 1:
                # What this process did not need another may have: all must take part.
                parameter.grad = torch.zeros_like(parameter)
            if parameter.grad is not None:
                parameter.grad = reduce(parameter.grad / _SCALE, "mean")
        self._optimizer.step()
        self._optimizer.zero_grad()
        return total

    def _part_of_step(self, step: int, part: int) -> float:
        """One batch forward and backward; returns its share of the step's loss."""
        rng = np.random.default_rng([self._task.seed, step, part, self._process.process_index])
        chosen = self._chosen(step, part)
        asks = [self._run.ask(picture, self._text(picture, rng), rng) for picture in chosen]
        # Stratified, so that every batch sees the whole schedule.
        uniform = torch.from_numpy(np.arange(len(chosen)) + rng.random(len(chosen)))
        uniform = uniform.float() / len(chosen)
        noise = torch.Generator().manual_seed(int(rng.integers(2**62)))
        loss = self._loss(chosen, asks, uniform, noise)
        penalty = self._run.penalty()
        whole = loss if penalty is None else loss + penalty
        if not bool(torch.isfinite(whole)):
            raise LearningError(
                f"the loss is {float(whole.detach())} at step {step + 1}. Lower `rate` (now "
                f"{self._config.rate:g}), or compute in bf16 or full precision instead of "
                f"fp16; what was best before is kept."
            )
        torch.autograd.backward(whole * (_SCALE / self._config.accumulate))
        return float(whole.detach()) / self._config.accumulate

    def _loss(
        self, chosen: Sequence[int], asks: Sequence[Ask], uniform: Tensor, noise: torch.Generator
    ) -> Tensor:
        mean, spread = (part[list(chosen)] for part in self._latents)
        latents = mean + spread * torch.randn(mean.shape, generator=noise).to(mean.device)
        added = torch.randn(mean.shape, generator=noise).to(mean.device)
        times = self._objective.times(uniform.to(mean.device))
        precision = _AUTOCAST.get(self._config.precision)
        with torch.autocast(self._device, precision, enabled=precision is not None):
            bundle = self._run.read([ask.text for ask in asks], chosen)
            predicted = self._task.denoising.predict(
                self._objective.noisy(latents, added, times), times, bundle
            )
        target = self._objective.target(latents, added, times)
        error = _mean_where((predicted.float() - target).square(), [ask.mask for ask in asks])
        return (self._objective.weights(times) * error).mean()

    @torch.no_grad()
    def _check(self) -> float:
        """The loss on fixed noise, at a few timesteps of the first pictures."""
        chosen = range(min(len(self._task.pictures), _CHECK_PICTURES))
        text = self._config.templates[0].replace(PLACEHOLDER, self._task.token)
        losses = []
        for part in range(_CHECK_TIMES):
            rng, noise = np.random.default_rng(part), torch.Generator().manual_seed(part)
            asks = [self._run.ask(picture, text, rng) for picture in chosen]
            uniform = torch.full((len(chosen),), (part + 0.5) / _CHECK_TIMES)
            with self._run.at_work():
                losses.append(float(self._loss(list(chosen), asks, uniform, noise)))
        return float(np.mean(losses))

    def _chosen(self, step: int, part: int) -> list[int]:
        """The batch: every picture once before any comes again."""
        count, batch = len(self._task.pictures), self._config.batch
        first = (step * self._config.accumulate + part) * batch
        order = []
        for position in range(first, first + batch):
            turn = np.random.default_rng([self._task.seed, position // count])
            order.append(int(turn.permutation(count)[position % count]))
        return order

    def _text(self, picture: int, rng: np.random.Generator) -> str:
        caption, token = self._task.pictures[picture].caption, self._task.token
        if caption is None:
            templates = self._config.templates
            return templates[int(rng.integers(len(templates)))].replace(PLACEHOLDER, token)
        return caption if token.lower() in caption.lower() else f"{token}, {caption}"

    def _lengths(self) -> tuple[float, float]:
        vectors = {n: v.detach() for n, v in self._run.vectors().items()}
        lengths = [v.norm(dim=-1).mean() for v in vectors.values()]
        moved = [(v - self._start[n]).norm(dim=-1).mean() for n, v in vectors.items()]
        return float(torch.stack(lengths).mean()), float(torch.stack(moved).mean())

    def _log(self, report: StepReport) -> None:
        line = {k: v for k, v in vars(report).items() if v is not None and k != "steps"}
        rounded = {k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in line.items()}
        path = self._folder / LOG_FILE
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(rounded) + "\n")
        except OSError as error:
            raise ConfigError(
                f"the log {path} cannot be written: {error}. Make room or choose another folder; "
                f"the run can be gone on from its last checkpoint."
            ) from error

    def _now(self) -> dict[str, Tensor]:
        return {n: p.detach().clone() for n, p in self._parameters.items()}

    @torch.no_grad()
    def _set(self, values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            self._parameters[name].copy_(value)


@torch.no_grad()
def _encoded(denoising: Denoising, pictures: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Mean and spread of the pictures' latents, `[n, ...]`; one picture at a time for memory."""
    parts = [denoising.encode(pixels[None]) for pixels in pictures]
    return torch.cat([mean for mean, _ in parts]), torch.cat([spread for _, spread in parts])


def _mean_where(error: Tensor, masks: Sequence[Tensor | None]) -> Tensor:
    """Per row the mean of `error` `[n, channels, height, width]` where the masks let it count."""
    means = []
    for row, mask in zip(error, masks, strict=True):
        if mask is None:
            means.append(row.mean())
            continue
        # A mean over areas: a latent pixel at the edge counts by the part that is inside.
        share = nn.functional.interpolate(mask[None].to(row), row.shape[-2:], mode="area")[0]
        means.append((row.mean(0) * share[0]).sum() / share.sum())
    return torch.stack(means)


def _interval(config: MethodConfig, pictures: int) -> int:
    """Steps between checks where none are asked for: a tenth of the run, or more, so that checks
    take no longer than a fifth of the steps. A step's backward pass is as long as its forward."""
    check = _CHECK_TIMES * min(pictures, _CHECK_PICTURES)
    step = 2 * config.batch * config.accumulate
    return max(1, config.steps // 10, math.ceil(5 * check / step))


class _Frozen:
    """The networks without gradients of their own and in eval mode; afterwards as they were.

    Args:
        denoising: whose networks.
        again: opened around each layer that gradient checkpointing runs a second time, in
            whatever thread; None for no checkpointing.
    """

    def __init__(
        self, denoising: Denoising, again: Callable[[], AbstractContextManager[None]] | None
    ) -> None:
        self._modules: list[Any] = list(denoising.modules())
        self._again = again
        self._before: list[tuple[Any, bool, bool, list[tuple[nn.Parameter, bool]]]] = []

    def __enter__(self) -> None:
        for module in self._modules:
            able = getattr(module, "_supports_gradient_checkpointing", False)
            turn = self._again is not None and able and not module.is_gradient_checkpointing
            wanted = [(p, p.requires_grad) for p in module.parameters()]
            self._before.append((module, module.training, turn, wanted))
            module.eval().requires_grad_(False)
            if turn:
                module.enable_gradient_checkpointing(self._checkpointed)

    def _checkpointed(self, layer: nn.Module, *inputs: Any) -> Any:
        contexts = (nullcontext(), nullcontext() if self._again is None else self._again())
        return checkpoint_layer(layer, *inputs, use_reentrant=False, context_fn=lambda: contexts)

    def __exit__(self, *_: object) -> None:
        for module, training, turned, wanted in self._before:
            module.train(training)
            for parameter, wants in wanted:
                parameter.requires_grad_(wants)
            if turned:
                module.disable_gradient_checkpointing()
