"""Placeholder tokens: a pipeline's tokenizers spell them, its text encoders read their vectors.

Nothing of the pipeline is changed for good. Its tokenizers are replaced by copies, and the rows
stand beside the vocabulary, never in it: hooks on the embedding layer put them where an id lies
above the table. So the vocabulary stays bit for bit what it was, also while rows are learnt, and
another pipeline that shares the encoder sees nothing.
"""

from __future__ import annotations

import copy
import re
import threading
from collections.abc import Mapping
from typing import Any

import torch
from tokenizers import AddedToken, Regex, normalizers
from torch import Tensor, nn
from transformers import ProcessorMixin

from embedops.errors import ConfigError

_PRIVATE = 0xE000
"""Pieces are spelt in the private use area, which no prompt and no vocabulary contains."""
_NUMBERS = 0xF000
_TABLE = "_embedops_rows"
_LOCK = threading.Lock()


class RowTable:
    """The rows above the vocabulary of one embedding layer, and the hooks that read them.

    Args:
        encoder: the text encoder.
    """

    def __init__(self, encoder: nn.Module) -> None:
        self.layer: nn.Module = encoder.get_input_embeddings()  # type: ignore[operator]
        self.first = int(self.layer.weight.shape[0])
        self.version = 0
        self._rows: dict[int, Tensor] = {}
        self._stacked: Tensor | None = None
        self._ids = threading.local()
        # T5 calls another module than the one that it names, tied to the same weight.
        weight = self.layer.weight
        tied = [m for m in encoder.modules() if getattr(m, "weight", None) is weight]
        self._handles = [
            handle
            for layer in tied
            if isinstance(layer, nn.Embedding)
            for handle in (
                layer.register_forward_pre_hook(self._within),
                layer.register_forward_hook(self._place),
            )
        ]
        # CLIP with an old config takes the largest id for the end of the text.
        if getattr(encoder.config, "eos_token_id", None) == 2:
            before = self._negated
            self._handles.append(encoder.register_forward_pre_hook(before, with_kwargs=True))

    @classmethod
    def of(cls, encoder: nn.Module) -> RowTable:
        """The table of an encoder; made where it has none."""
        with _LOCK:
            layer = encoder.get_input_embeddings()  # type: ignore[operator]
            table = vars(layer).get(_TABLE)
            if table is None:
                table = cls(encoder)
                vars(layer)[_TABLE] = table
            known: RowTable = table
            return known

    def reserve(self, count: int, least: int) -> list[int]:
        """Take `count` ids, adjacent, none below `least`."""
        with _LOCK:
            start = max([self.first, least, *(i + 1 for i in self._rows)])
            ids = list(range(start, start + count))
            width = self.layer.weight.shape[1]  # type: ignore[index]
            self._rows.update(dict.fromkeys(ids, torch.zeros(width)))  # type: ignore[arg-type]
            self._changed()
            return ids

    def put(self, ids: list[int], rows: Tensor) -> None:
        """Set the rows of some ids, `[len(ids), dim]`; they may require gradients."""
        with _LOCK:
            self._rows.update(zip(ids, rows, strict=True))
            self._changed()

    def release(self, ids: list[int]) -> None:
        """Give ids back; the hooks go with the last one."""
        with _LOCK:
            for number in ids:
                self._rows.pop(number, None)
            self._changed()
            if not self._rows:
                for handle in self._handles:
                    handle.remove()
                vars(self.layer).pop(_TABLE, None)

    def real(self, ids: Tensor) -> Tensor:
        """The ids as the tokenizer gave them, before the encoder's own hook changed them."""
        return torch.where(ids < 0, self.first - 1 - ids, ids)

    def _changed(self) -> None:
        self.version += 1
        self._stacked = None

    def _stack(self, like: Tensor) -> Tensor:
        rows = self._stacked
        if rows is None:
            last = max(self._rows)
            empty = next(iter(self._rows.values())).detach()
            rows = torch.stack(
                [self._rows.get(i, empty).to(like.device) for i in range(self.first, last + 1)]
            )
            # Another thread may read without gradients while this one learns: what it stacks has
            # none, and must not be kept for those who need them.
            if not any(row.requires_grad for row in self._rows.values()):
                self._stacked = rows
        return rows.to(like.device, like.dtype)

    def _negated(
        self, _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        ids = args[0] if args else kwargs["input_ids"]
        ids = torch.where(ids >= self.first, self.first - 1 - ids, ids)
        return ((ids, *args[1:]), kwargs) if args else (args, {**kwargs, "input_ids": ids})

    def _within(self, _module: nn.Module, args: tuple[Tensor]) -> tuple[Tensor]:
        ids = self.real(args[0])
        self._ids.now = ids
        return (torch.where(ids >= self.first, 0, ids),)

    def _place(self, _module: nn.Module, _args: tuple[Tensor], output: Tensor) -> Tensor:
        ids, self._ids.now = self._ids.now, None
        rows = self._stack(output)
        own = (ids - self.first).clamp(0, len(rows) - 1)
        return torch.where((ids >= self.first)[..., None], rows[own], output)


def table_of(encoder: nn.Module) -> RowTable | None:
    """The table of an encoder; None where it has no rows above its vocabulary."""
    table: RowTable | None = vars(encoder.get_input_embeddings()).get(_TABLE)  # type: ignore[operator]
    return table


class Placeholders:
    """Placeholder tokens of one pipeline.

    Args:
        pipe: the pipeline.
        tokenizers: per text encoder (component name) the component that spells for it.
    """

    def __init__(self, pipe: Any, tokenizers: Mapping[str, str]) -> None:
        self._pipe = pipe
        self._tokenizers = dict(tokenizers)
        self._original: dict[str, Any] = {}
        self._copies: dict[str, Any] = {}
        self._counts: dict[str, int] = {}
        self._said: dict[str, dict[str, str]] = {}
        self._ids: dict[tuple[str, str], list[int]] = {}

    @property
    def tokens(self) -> tuple[str, ...]:
        """The placeholders that are known now."""
        return tuple(self._counts)

    def add(
        self, token: str, vectors: Mapping[str, Tensor], said: Mapping[str, str] | None = None
    ) -> None:
        """Teach the pipeline a placeholder.

        Args:
            token: how prompts say it, matched whatever its case.
            vectors: per text encoder its rows `[count, dim]`, float32.
            said: what the encoders without rows read in its place.

        Raises:
            ConfigError: the token is known already, or an encoder is not there or of another
                width; nothing was changed then.
        """
        checked_token(token)
        if token.lower() in (known.lower() for known in self._counts):
            raise ConfigError(
                f"the placeholder {token!r} is in use already. Remove it first, or rename one of "
                f"the two concepts: dataclasses.replace(concept, token='<other>')."
            )
        for name, rows in vectors.items():
            self._check(token, name, rows)
        said = dict(said or {})
        lacking = [n for n in self._tokenizers if n not in vectors and n not in said]
        if lacking:
            raise ConfigError(
                f"the placeholder {token!r} has no vectors for {', '.join(lacking)}, and no words "
                f"that they could read in its place."
            )
        self._counts[token] = 0
        for name in self._tokenizers:
            if name in vectors:
                self._give_rows(token, name, vectors[name])
        self._said[token] = said
        try:
            self._respell()
        except ConfigError:
            self.remove(token)
            raise

    def put(self, token: str, vectors: Mapping[str, Tensor]) -> None:
        """Change the rows of a placeholder; they may require gradients."""
        for name, rows in vectors.items():
            RowTable.of(getattr(self._pipe, name)).put(self._ids[token, name], rows)

    def positions(self, text: str, encoder: str) -> dict[str, list[int]]:
        """Where a text encoder reads the placeholders of a text, those that it names."""
        tokenizer = speller(getattr(self._pipe, self._tokenizers[encoder]))
        places: dict[int, list[int]] = {}
        for position, number in enumerate(tokenizer(text, truncation=True).input_ids):
            places.setdefault(number, []).append(position)
        found = {
            token: [p for i in self._ids.get((token, encoder), ()) for p in places.get(i, ())]
            for token in self.tokens
        }
        return {token: sorted(where) for token, where in found.items() if where}

    def remove(self, token: str) -> None:
        """Forget a placeholder.

        Raises:
            ConfigError: it is not known.
        """
        if token not in self._counts:
            known = ", ".join(map(repr, self._counts)) or "none"
            raise ConfigError(f"there is no placeholder {token!r} here; known: {known}.")
        del self._counts[token]
        self._said.pop(token, None)
        for key in [key for key in self._ids if key[0] == token]:
            RowTable.of(getattr(self._pipe, key[1])).release(self._ids.pop(key))
        self._respell()

    def clear(self) -> None:
        """Forget all; the pipeline has its own tokenizers again."""
        for token in self.tokens:
            self.remove(token)

    def _check(self, token: str, name: str, rows: Tensor) -> None:
        encoder = getattr(self._pipe, name, None)
        if name not in self._tokenizers or encoder is None:
            raise ConfigError(
                f"the concept {token!r} has vectors for {name}, which this "
                f"{type(self._pipe).__name__} lacks; it has {', '.join(self._tokenizers)}."
            )
        width = encoder.get_input_embeddings().weight.shape[1]
        if rows.ndim != 2 or rows.shape[1] != width or not len(rows):
            raise ConfigError(
                f"the concept {token!r} has vectors of shape {list(rows.shape)} for {name}, and "
                f"this pipeline's {name}, a {type(encoder).__name__}, reads vectors [count, "
                f"{width}]: it was learnt for another text encoder."
            )

    def _give_rows(self, token: str, name: str, rows: Tensor) -> None:
        table = RowTable.of(getattr(self._pipe, name))
        spelling = self._original.get(self._tokenizers[name])
        spelling = spelling or getattr(self._pipe, self._tokenizers[name])
        ids = table.reserve(len(rows), len(speller(spelling)))
        self._ids[token, name] = ids
        table.put(ids, rows)

    def _respell(self) -> None:
        """Give every tokenizer a copy that knows the placeholders, or its own back."""
        for component in dict.fromkeys(self._tokenizers.values()):
            now = getattr(self._pipe, component)
            if component in self._copies and now is not self._copies[component]:
                self._original.pop(component, None)  # replaced by its user meanwhile
            original = self._original.setdefault(component, now)
            if not self._counts:
                setattr(self._pipe, component, original)
                del self._original[component]
                self._copies.pop(component, None)
                continue
            fresh = copy.deepcopy(original)
            self._spell(speller(fresh), component)
            setattr(self._pipe, component, fresh)
            self._copies[component] = fresh

    def _spell(self, tokenizer: Any, component: str) -> None:
        readers = [n for n, spelling in self._tokenizers.items() if spelling == component]
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise ConfigError(
                f"{component} is a {type(tokenizer).__name__}, which is not built on the "
                f"tokenizers library, so placeholders cannot be added to it. Load the fast one."
            )
        steps = []
        pieces: dict[int, str] = {}
        for token in sorted(self._counts, key=len, reverse=True):
            ids = next((self._ids[token, n] for n in readers if (token, n) in self._ids), None)
            words = next((w for n, w in self._said[token].items() if n in readers), "")
            spelt = words if ids is None else "".join(_piece(token, k) for k in range(len(ids)))
            steps.append(normalizers.Replace(Regex(_pattern(token)), spelt))
            pieces.update({i: _piece(token, k) for k, i in enumerate(ids or ())})
        # Ids are given in order: what lies between stands for nothing.
        for number in range(len(tokenizer), max(pieces, default=-1) + 1):
            name = pieces.get(number, chr(_NUMBERS - 1) + chr(_NUMBERS + number % 1024))
            tokenizer.add_tokens([AddedToken(name, lstrip=True, normalized=True)])
        wrong = {n: tokenizer.convert_tokens_to_ids(name) for n, name in pieces.items()}
        if any(number != given for number, given in wrong.items()):
            raise ConfigError(
                f"{component} cannot be given the ids {sorted(pieces)}: its vocabulary has gaps. "
                f"Placeholders need a tokenizer whose ids are adjacent."
            )
        own = [] if backend.normalizer is None else [backend.normalizer]
        backend.normalizer = normalizers.Sequence([*steps, *own])


def speller(component: Any) -> Any:
    """The tokenizer: a processor holds it beside what prepares pictures."""
    return component.tokenizer if isinstance(component, ProcessorMixin) else component


def checked_token(token: str) -> str:
    """`token`, where it can be a placeholder.

    Raises:
        ConfigError: it is blank, has spaces around it, or is too long.
    """
    if not token.strip() or token != token.strip() or len(token) > 64:
        raise ConfigError(
            f"{token!r} cannot be a placeholder: expected 1 to 64 characters without space around "
            f"them, such as '<toy>'."
        )
    return token


def shown(piece: str) -> str | None:
    """How a person reads a placeholder's piece: the token, numbered from its second vector on;
    None for anything else."""
    letters = [ord(c) for c in piece]
    if len(letters) < 2 or not all(_PRIVATE <= c < _NUMBERS + 1024 for c in letters):
        return None
    token = "".join(chr(c - _PRIVATE) for c in letters[:-1])
    return shown_piece(token, letters[-1] - _NUMBERS)


def shown_piece(token: str, number: int) -> str:
    """How the piece of a placeholder for its vector `number`, from 0, is shown."""
    return token if number == 0 else f"{token}[{number + 1}]"


def _piece(token: str, number: int) -> str:
    letters = (_PRIVATE + ord(c) if ord(c) < _NUMBERS - _PRIVATE - 1 else _PRIVATE for c in token)
    return "".join(map(chr, letters)) + chr(_NUMBERS + number)


def _pattern(token: str) -> str:
    """Matches the token, not a longer word that holds it."""
    before = r"(?<!\w)" if re.match(r"\w", token) else ""
    after = r"(?!\w)" if re.search(r"\w\Z", token) else ""
    return f"(?i){before}{re.escape(token)}{after}"
