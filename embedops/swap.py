"""Putting a schedule's embeddings in the place of those that the pipeline passes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from embedops.errors import GuardError
from embedops.families import Bundle, Side
from embedops.schedule import Schedule

Pattern = tuple[int, ...]
Layout = tuple[Side, ...]
Value = Tensor | list[Tensor] | None
Bundles = Callable[[int, Side], Bundle | None]
_KEPT = 8
"""Sets of tensors that are remembered: more only where a pipeline makes new ones at each step."""


@dataclass(frozen=True)
class Shape:
    """How a family lays out the denoiser's batch; see `Adapter` for the meaning of each."""

    order: tuple[Side, Side]
    batch_dims: Mapping[str, int]
    rows_per_prompt: Callable[[str], int]


class Swap:
    """The look-up of one call: at a step, the tensors that each row of the batch reads.

    Tensors are assembled once for each pattern of readings, the first time a step needs it, and
    looked up afterwards. Nothing here waits for the device except one comparison per call and
    side, which makes sure that what the pipeline passes is what was examined.
    """

    def __init__(
        self,
        schedule: Schedule,
        bundle: Bundles,
        shape: Shape,
    ) -> None:
        """
        Args:
            schedule: what each prompt reads when.
            bundle: the tensors of a reading's side, one row a prompt of the reading; None where
                nothing is known of that side.
            shape: the layout of the denoiser's batch.
        """
        self._schedule = schedule
        self._bundle = bundle
        self._shape = shape
        self._layouts: dict[tuple[int, ...], tuple[Layout, list[Value]]] = {}
        self._assembled: dict[tuple[tuple[int, ...], Pattern], dict[str, Value]] = {}
        self._tables: dict[int, tuple[Pattern, ...]] = {}
        self._parts: dict[tuple[int, ...], tuple[Swap | None, list[Value]]] = {}
        self._taken = False  # a call with the positive side alone was seen

    def _repeat(self, name: str) -> int:
        """Adjacent rows of a tensor for each prompt."""
        return self._shape.rows_per_prompt(name)

    def _rows(self, name: str) -> int:
        """Rows of a tensor that belong to prompts, on one side of the guidance."""
        return len(self._schedule.pieces) * self._repeat(name)

    def pattern(self, step: int, total: int) -> Pattern:
        """The reading of each prompt at a step."""
        if total not in self._tables:
            self._tables[total] = self._schedule.table(total)
        return self._tables[total][step]

    def layout(self, inputs: Mapping[str, object]) -> Layout:
        """What the blocks of the denoiser's batch are, first to last.

        Raises:
            GuardError: what the pipeline passes is not what was examined.
        """
        values = self._incoming(inputs)
        key = _identity(values)
        if key not in self._layouts:
            recognised = self._recognised(self._for_each(values))
            for oldest in list(self._layouts)[: 1 - _KEPT]:
                del self._layouts[oldest]
                self._assembled = {k: v for k, v in self._assembled.items() if k[0] != oldest}
            # Held on to, so that their ids are not given to other tensors.
            self._layouts[key] = (recognised, values)
            self._taken |= recognised == ("positive",)
        return self._layouts[key][0]

    def of_part(self, inputs: Mapping[str, object]) -> Swap | None:
        """The same for a module that reads a part of the bundle; None where it reads nothing.

        Some ControlNets are given no states, or zeros for the pooled vector.
        """
        every = list(self._bundle(0, "positive") or {})
        values = [_found(inputs, name) for name in every]
        key = _identity(values)
        if key not in self._parts:
            read = [n for n, value in zip(every, values, strict=True) if _says(n, value)]
            part: Swap | None = self
            if read != every:
                part = Swap(self._schedule, self._only(read), self._shape) if read else None
            self._parts[key] = (part, values)
        return self._parts[key][0]

    def _only(self, names: Sequence[str]) -> Bundles:
        def bundle(version: int, side: Side) -> Bundle | None:
            whole = self._bundle(version, side)
            return None if whole is None else {name: whole[name] for name in names}

        return bundle

    def replace(
        self, inputs: Mapping[str, object], pattern: Pattern
    ) -> tuple[dict[str, object], int | None]:
        """The denoiser's keyword inputs with the rows of `pattern` in place.

        Returns them, and the length of the text where it is not what the pipeline passed.

        Raises:
            GuardError: what the pipeline passes is not what was examined, or a text of another
                length cannot stand beside the others.
        """
        layout = self.layout(inputs)
        changed = dict(inputs)
        if not any(pattern):
            return changed, None
        values = self._incoming(inputs)
        key = (_identity(values), pattern)
        if key not in self._assembled:
            self._assembled[key] = self._assemble(self._for_each(values), layout, pattern)
        longer: int | None = None
        for (name, new), old in zip(self._assembled[key].items(), values, strict=True):
            _put(changed, name, new)
            if isinstance(new, Tensor) and isinstance(old, Tensor):
                length, before = (self._rows_first(name, t).shape[1:] for t in (new, old))
                longer = longer if length == before else max(longer or 0, length[0])
        return changed, longer

    def _incoming(self, inputs: Mapping[str, object]) -> list[Value]:
        return [_look_up(inputs, name) for name in self._bundle(0, "positive") or {}]

    def _for_each(self, values: Sequence[Value]) -> list[Value]:
        """`values` with one row for all prompts, such as one negative text, repeated for each:
        some denoisers take it as it is."""
        result: list[Value] = []
        for name, value in zip(self._bundle(0, "positive") or {}, values, strict=True):
            if isinstance(value, Tensor):
                rows = self._rows_first(name, value)
                if rows.shape[0] == 1:
                    rows = rows.expand(self._rows(name), *rows.shape[1:])
                value = rows.movedim(0, self._shape.batch_dims.get(name, 0))
            result.append(value)
        return result

    def _rows_first(self, name: str, tensor: Tensor) -> Tensor:
        return tensor.movedim(self._shape.batch_dims.get(name, 0), 0)

    def _recognised(self, values: Sequence[Value]) -> Layout:
        names = list(self._bundle(0, "positive") or {})
        counts = {
            name: len(value) if isinstance(value, list) else self._rows_first(name, value).shape[0]
            for name, value in zip(names, values, strict=True)
            if value is not None
        }
        found = {divmod(count, self._rows(name)) for name, count in counts.items()}
        blocks, rest = found.pop() if len(found) == 1 else (0, 0)
        if rest or blocks not in (1, 2):
            raise GuardError(
                f"the denoiser was called with {counts} rows of embeddings where the prompts make "
                f"{ {name: self._rows(name) for name in counts} }, or twice that with guidance. "
                f"Another pipeline that shares this denoiser may be running in the same thread, or "
                f"a callback changed the batch."
            )
        if blocks == 2:
            block = self._shape.order.index("positive")
            self._check(self._differing(names, values, "positive", block))
            return self._shape.order
        differing = self._differing(names, values, "positive", 0)
        # Two sides that say the same are told apart by their order: positive first.
        if (
            self._bundle(0, "negative") is not None
            and (differing or self._taken)
            and self._differing(names, values, "negative", 0) is None
        ):
            return ("negative",)
        self._check(differing)
        return ("positive",)

    def _check(self, differing: str | None) -> None:
        if differing is not None:
            raise GuardError(
                f"the denoiser's {differing} is not what this call's prompts were encoded to, so "
                f"what it reads was never examined. Embeddings that a callback changes, or another "
                f"pipeline that shares the denoiser in this thread, do that. Detach the session "
                f"first, or make the change before encoding."
            )

    def _differing(
        self, names: Sequence[str], values: Sequence[Value], side: Side, block: int
    ) -> str | None:
        """The first of `names` whose rows in `block` are not those of `side`; None if all are."""
        known = self._bundle(0, side) or {}
        for name, value in zip(names, values, strict=True):
            if not self._same(name, value, known[name], block):
                return name
        return None

    def _same(self, name: str, value: Value, expected: Tensor | list[Tensor], block: int) -> bool:
        if value is None:
            return isinstance(expected, Tensor) and bool(expected.all())
        count, repeat = self._rows(name), self._repeat(name)
        rows = slice(block * count, (block + 1) * count)
        if isinstance(value, list) or isinstance(expected, list):
            return all(_equal(row, expected[i // repeat]) for i, row in enumerate(value[rows]))
        found = self._rows_first(name, value)[rows]
        expected = self._rows_first(name, expected)
        if _equal(found, expected.repeat_interleave(repeat, 0)):
            return True
        # Upstream tiles the masks of several prompts where it interleaves their embeddings.
        return _is_mask(name) and _equal(found, expected.repeat(repeat, 1))

    def _assemble(
        self, values: Sequence[Value], layout: Layout, pattern: Pattern
    ) -> dict[str, Value]:
        own = self._bundle(0, layout[0]) or self._bundle(0, "positive") or {}
        result: Bundle = {}
        for (name, example), value in zip(own.items(), values, strict=True):
            if isinstance(value, list):
                result[name] = list(value)
            elif value is None and isinstance(example, Tensor):
                ones = torch.ones_like(example[:1]).expand(len(layout) * self._rows(name), -1)
                result[name] = ones.clone()
            elif value is not None:
                result[name] = self._rows_first(name, value).clone()
        for block, side in enumerate(layout):
            for version in sorted(set(pattern) - {0}):
                self._fill(result, side, block, version, pattern)
        passed: dict[str, Value] = {}
        first: dict[int, Tensor] = {}
        for (name, new), old in zip(result.items(), values, strict=True):
            value = self._as_passed(name, new, old)
            if isinstance(old, Tensor) and isinstance(value, Tensor):
                # One tensor under two names stays one: a compiled denoiser is traced for that.
                twin = first.setdefault(old.data_ptr(), value)
                value = twin if _equal(twin, value) else value
            passed[name] = value
        return passed

    def _as_passed(self, name: str, new: Tensor | list[Tensor], old: Value) -> Value:
        """`new` `[rows, ...]` in the form in which the pipeline passes `old`."""
        if isinstance(new, list):
            return new
        if old is None and bool(new.all()):
            return None  # the denoiser takes another path with a mask than without
        return new.movedim(0, self._shape.batch_dims.get(name, 0))

    def _fill(self, result: Bundle, side: Side, block: int, version: int, pattern: Pattern) -> None:
        tensors = self._bundle(version, side)
        if tensors is None:
            return
        covered = self._schedule.readings[version].rows
        users = [p for p, v in enumerate(pattern) if v == version]
        masked = any(map(_is_mask, tensors))
        for name, into in result.items():
            value, each = tensors[name], range(self._repeat(name))
            start = block * self._rows(name)
            rows = [covered.index(p) for p in users for _ in each]
            target = [start + p * len(each) + i for p in users for i in each]
            if isinstance(into, list) or isinstance(value, list):
                for position, row in zip(target, rows, strict=True):
                    into[position] = value[row].to(into[position].device, into[position].dtype)
                continue
            ours = self._rows_first(name, value)
            source = ours[_index(rows, ours)].to(into.device, into.dtype)
            if source.shape[1:] != into.shape[1:]:
                if not masked and len(target) == into.shape[0]:
                    result[name] = source  # no other text has to stand beside it
                    continue
                if not masked:
                    raise GuardError(
                        f"a text of {source.shape[1]} tokens cannot take the place of one of "
                        f"{into.shape[1]}: this denoiser gets no mask with {name}. Let the edit "
                        f"keep the number of words, or run its prompt alone."
                    )
                length = max(source.shape[1], into.shape[1])
                source, into = _extended(source, length), _extended(into, length)
                result[name] = into
            into[_index(target, into)] = source


def _says(name: str, value: Value) -> bool:
    if _is_mask(name):
        return True  # None stands for a mask of ones
    return isinstance(value, list) or (value is not None and bool(value.any()))


def _is_mask(name: str) -> bool:
    return "mask" in name


def _equal(found: Tensor, expected: Tensor) -> bool:
    expected = expected.to(found.device, found.dtype)
    return found.shape == expected.shape and torch.equal(found, expected)


def _identity(values: Sequence[Value]) -> tuple[int, ...]:
    return tuple(id(t) for v in values for t in (v if isinstance(v, list) else (v,)))


def _extended(tensor: Tensor, length: int) -> Tensor:
    """`tensor` `[rows, seq, ...]` with zeros after its end, up to `length` positions."""
    missing = length - tensor.shape[1]
    if missing <= 0:
        return tensor
    zeros = tensor.new_zeros(tensor.shape[0], missing, *tensor.shape[2:])
    return torch.cat([tensor, zeros], dim=1)


def _index(rows: Sequence[int], like: Tensor) -> Tensor:
    return torch.tensor(rows, dtype=torch.long, device=like.device)


def _look_up(inputs: Mapping[str, object], dotted: str) -> Value:
    value = _found(inputs, dotted)
    if value is None and not _is_mask(dotted):  # no mask: every position is attended to
        raise GuardError(
            f"the denoiser was called without a tensor {dotted!r}. This version of diffusers "
            f"passes it in another way; the adapter needs an update."
        )
    return value


def _found(inputs: Mapping[str, object], dotted: str) -> Value:
    """What is passed under a name; None for nothing and for what is no tensor."""
    value: object = inputs
    for part in dotted.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    whole = isinstance(value, list) and all(isinstance(v, Tensor) for v in value)
    return value if isinstance(value, Tensor) or whole else None  # type: ignore[return-value]


def _put(inputs: dict[str, object], dotted: str, value: Value) -> None:
    *path, last = dotted.split(".")
    for part in path:
        inner = inputs[part]
        inputs[part] = dict(inner) if isinstance(inner, Mapping) else {}
        inputs = inputs[part]  # type: ignore[assignment]  # a dict by the line above
    inputs[last] = value
