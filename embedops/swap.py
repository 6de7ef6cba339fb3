"""Putting a schedule's embeddings in the place of those that the pipeline passes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from embedops.errors import GuardError
from embedops.schedule import Schedule

Bundle = dict[str, Tensor]
Pattern = tuple[int, ...]


class Swap:
    """The look-up of one call: at a step, the tensors that each row of the batch reads.

    Tensors are assembled once for each pattern of readings, the first time a step needs it, and
    looked up afterwards. Nothing here waits for the device except one comparison per call, which
    makes sure that what the pipeline passes is what was examined.
    """

    def __init__(
        self,
        schedule: Schedule,
        bundle: Callable[[int, str], Bundle | None],
        halves: Callable[[int, int], tuple[str, ...]],
        images_per_prompt: int,
    ) -> None:
        """
        Args:
            schedule: what each prompt reads when.
            bundle: the tensors of a reading's `"positive"` or `"negative"` side, one row a prompt
                of the reading; None where that side is the pipeline's own.
            halves: names the blocks of a denoiser batch (`Adapter.halves`).
            images_per_prompt: adjacent rows of the batch for each prompt.
        """
        self._schedule = schedule
        self._bundle = bundle
        self._halves = halves
        self._repeat = images_per_prompt
        self._verified: dict[tuple[str, int], Tensor] = {}
        self._assembled: dict[tuple[str, int, Pattern], Tensor] = {}
        self._tables: dict[int, tuple[Pattern, ...]] = {}

    @property
    def repeat(self) -> int:
        """Adjacent rows of the denoiser's batch for each prompt."""
        return self._repeat

    @property
    def rows(self) -> int:
        """Rows of the denoiser's batch that belong to prompts, on one side of the guidance."""
        return len(self._schedule.pieces) * self._repeat

    def pattern(self, step: int, total: int) -> Pattern:
        """The reading of each prompt at a step."""
        if total not in self._tables:
            self._tables[total] = self._schedule.table(total)
        return self._tables[total][step]

    def replace(self, inputs: dict[str, object], pattern: Pattern) -> dict[str, object]:
        """The denoiser's keyword inputs with the rows of `pattern` in place.

        Raises:
            GuardError: what the pipeline passes is not what was examined.
        """
        names = self._bundle(0, "positive") or {}
        changed = dict(inputs)
        for name in names:
            incoming = _look_up(inputs, name)
            self._verify(name, incoming)
            if any(pattern):
                _put(changed, name, self._assemble(name, incoming, pattern))
        return changed

    def blocks(self, rows: int) -> tuple[str, ...]:
        """What the blocks of a batch of `rows` are.

        Raises:
            GuardError: the batch is no arrangement that the adapter knows.
        """
        blocks = self._halves(rows, self.rows)
        if not blocks:
            raise GuardError(
                f"the denoiser was called with {rows} rows of embeddings where the prompts make "
                f"{self.rows}, or twice that with guidance. Another pipeline that shares this "
                f"denoiser may be running in the same thread, or a callback changed the batch."
            )
        return blocks

    def _verify(self, name: str, incoming: Tensor) -> None:
        # The pipeline passes one tensor object for all steps, so this runs once a call. Holding
        # on to the tensor keeps its id from being given to another.
        key = (name, id(incoming))
        if key in self._verified:
            return
        expected = (self._bundle(0, "positive") or {})[name].repeat_interleave(self._repeat, 0)
        blocks = self.blocks(incoming.shape[0])
        if "positive" in blocks:
            start = blocks.index("positive") * self.rows
            found = incoming[start : start + self.rows]
            expected = expected.to(incoming.device, incoming.dtype)
            if found.shape != expected.shape or not torch.equal(found, expected):
                raise GuardError(
                    f"the denoiser's {name} is not what this call's prompts were encoded to, so "
                    f"what it reads was never examined. Embeddings that a callback changes, or "
                    f"another pipeline that shares the denoiser in this thread, do that. Detach "
                    f"the session first, or make the change before encoding."
                )
        self._verified[key] = incoming

    def _assemble(self, name: str, incoming: Tensor, pattern: Pattern) -> Tensor:
        key = (name, id(incoming), pattern)
        if key not in self._assembled:
            result = incoming.clone()
            for block, side in enumerate(self.blocks(incoming.shape[0])):
                self._fill(result, name, side, block * self.rows, pattern)
            self._assembled[key] = result
        return self._assembled[key]

    def _fill(self, result: Tensor, name: str, side: str, start: int, pattern: Pattern) -> None:
        for version in sorted(set(pattern) - {0}):
            tensors = self._bundle(version, side)
            if tensors is None:
                continue
            rows = self._schedule.readings[version].rows
            users = [p for p, v in enumerate(pattern) if v == version]
            source = tensors[name][_index([rows.index(p) for p in users], tensors[name])]
            target = [start + p * self._repeat + i for p in users for i in range(self._repeat)]
            result[_index(target, result)] = source.repeat_interleave(self._repeat, 0).to(
                result.device, result.dtype
            )


def _index(rows: Sequence[int], like: Tensor) -> Tensor:
    return torch.tensor(rows, dtype=torch.long, device=like.device)


def _look_up(inputs: Mapping[str, object], dotted: str) -> Tensor:
    value: object = inputs
    for part in dotted.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if not isinstance(value, Tensor):
        raise GuardError(
            f"the denoiser was called without a tensor {dotted!r}, got {type(value).__name__}. "
            f"This version of diffusers passes it in another way; the adapter needs an update."
        )
    return value


def _put(inputs: dict[str, object], dotted: str, tensor: Tensor) -> None:
    *path, last = dotted.split(".")
    for part in path:
        inner = inputs[part]
        inputs[part] = dict(inner) if isinstance(inner, Mapping) else {}
        inputs = inputs[part]  # type: ignore[assignment]  # a dict by the line above
    inputs[last] = tensor
