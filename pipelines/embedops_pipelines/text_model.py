"""One tokenizer and text encoder of a pipeline, watched while the pipeline uses it."""

from __future__ import annotations

import copy
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers.utils.peft_utils import scale_lora_layers, unscale_lora_layers
from torch import Tensor

from embedops.encoders import LeaveOneOut
from embedops.errors import ConfigError, GuardError
from embedops.placeholders import shown, speller, table_of
from embedops.streams import Role, TextStream

States = Callable[[Any], Tensor]
"""From a text encoder's output to the states `[batch, seq, dim]` that the denoiser reads."""

_WORD_STARTS = ("▁", "Ġ")
_WORD_END = "</w>"
_CONTINUED = "##"


def last_hidden_state(output: Any) -> Tensor:
    """The states after the last layer and the final norm."""
    states: Tensor = output.last_hidden_state if hasattr(output, "last_hidden_state") else output[0]
    return states


def hidden_state(layer: int) -> States:
    """The states of one entry of `hidden_states`, counted as the pipeline does."""

    def read(output: Any) -> Tensor:
        states: Tensor = output.hidden_states[layer]
        return states

    return read


@dataclass(frozen=True, eq=False)
class Encoding:
    """One call of a text encoder, as it was seen to happen.

    Attributes:
        ids: token ids `[batch, seq]` on the CPU, after truncation and padding.
        attended: the attention mask as bool `[batch, seq]` on the CPU; None where none was given.
        states: what the denoiser reads of the output, `[batch, seq, dim]`.
        settings: the call's other keyword arguments, tensors left out.
        extra: what a subclass of `TextModel` keeps of the call.
    """

    ids: Tensor
    attended: Tensor | None
    states: Tensor
    settings: Mapping[str, object] = field(default_factory=dict)
    extra: object = None


@dataclass(frozen=True, eq=False)
class Row:
    """One text of an `Encoding`."""

    encoding: Encoding
    index: int

    @property
    def ids(self) -> list[int]:
        return [int(i) for i in self.encoding.ids[self.index].tolist()]

    @property
    def attended(self) -> list[bool] | None:
        mask = self.encoding.attended
        return None if mask is None else [bool(a) for a in mask[self.index].tolist()]

    @property
    def states(self) -> Tensor:
        """`[seq, dim]`"""
        return self.encoding.states[self.index]


class TextModel(ABC):
    """One tokenizer and text encoder pair of a pipeline.

    Args:
        pipe: the pipeline.
        name: the text encoder's component name, which becomes the stream's.
        tokenizer: the tokenizer's component name.
        states: what of the encoder's output the denoiser reads.
        lora_scale: what the call at hand scales LoRA layers by; None for no LoRA scale.
    """

    def __init__(
        self,
        pipe: Any,
        name: str,
        tokenizer: str,
        states: States = last_hidden_state,
        lora_scale: float | None = None,
    ) -> None:
        self._pipe = pipe
        self.name = name
        self.model = getattr(pipe, name)
        self.spelt_by = tokenizer
        self.component = getattr(pipe, tokenizer)
        self.tokenizer = speller(self.component)
        self.states = states
        self.lora_scale = lora_scale
        self._cache: dict[str, Tensor] = {}
        self._cached_for: tuple[object, ...] = ()
        self._own: Any = None
        self._words: tuple[int, tuple[str, ...]] = (-1, ())

    @abstractmethod
    def stream(
        self,
        rows: Sequence[Row],
        embeds: Tensor,
        *,
        mask: Tensor | None = None,
        pooled: Tensor | None = None,
        pooled_read: bool = False,
    ) -> TextStream:
        """The stream of some texts whose embeddings `[batch, seq, dim]` the denoiser reads."""

    @abstractmethod
    def leave_one_out(self, text: str, row: Row, positions: Sequence[int]) -> LeaveOneOut:
        """Sentence vectors of a text with each content token masked, in windows that cover it.

        Args:
            text: what the encoder was given, whole.
            row: the same text as it was encoded.
            positions: where the denoiser reads its content tokens.
        """

    @abstractmethod
    def _sentences(self, windows: Sequence[Sequence[int]]) -> Tensor:
        """Sentence vectors of content ids, float32 `[len(windows), dim]`."""

    @property
    def window(self) -> int:
        """Content tokens that one sentence vector can cover."""
        return int(min(self.tokenizer.model_max_length, 512)) - 2

    @contextmanager
    def record(self) -> Iterator[list[Encoding]]:
        """Collect the calls that this thread makes of the text encoder inside the block."""
        calls: list[Encoding] = []
        owner = threading.get_ident()

        def note(_: object, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            if threading.get_ident() == owner:
                calls.append(self._encoding(args, kwargs, output))

        with self._watched():
            handle = self.model.register_forward_hook(note, with_kwargs=True)
            try:
                yield calls
            finally:
                handle.remove()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        yield

    def _encoding(self, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Encoding:
        ids = self._ids_of(args, kwargs)
        mask = args[1] if len(args) > 1 else kwargs.get("attention_mask")
        return Encoding(
            ids,
            mask.detach().cpu().bool() if isinstance(mask, Tensor) else None,
            self.states(output).detach(),
            {
                name: value
                for name, value in kwargs.items()
                if name not in ("input_ids", "attention_mask") and not isinstance(value, Tensor)
            },
        )

    def _ids_of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        """The token ids of a call of the encoder, as the tokenizer gave them."""
        ids: Tensor = args[0] if args else kwargs["input_ids"]
        table = table_of(self.model)
        return (ids if table is None else table.real(ids)).detach().cpu()

    def pooled(self, texts: Sequence[str]) -> Tensor:
        """Sentence vectors of `texts`, float32 `[len(texts), dim]`, cached by weights and text.

        Raises:
            ConfigError: a text has no tokens of its own.
        """
        weights = self._weights()
        if weights != self._cached_for:
            self._cache, self._cached_for = {}, weights
        missing = [t for t in dict.fromkeys(texts) if t not in self._cache]
        if missing:
            windows = [self.content(text)[: self.window] for text in missing]
            for text, ids in zip(missing, windows, strict=True):
                if not ids and text:
                    raise ConfigError(
                        f"{text!r} has no tokens in the vocabulary of {self.name}. Use words that "
                        f"the encoder knows."
                    )
            with self.lora_scaled(), torch.no_grad():
                self._cache.update(zip(missing, self._sentences(windows), strict=True))
        return torch.stack([self._cache[t] for t in texts])

    def vocabulary(self) -> tuple[str, ...]:
        """Whole words that are one token, lower case, most frequent first."""
        if self._words[0] != len(self.tokenizer):
            vocabulary = self.tokenizer.get_vocab()
            by_id = sorted(vocabulary, key=vocabulary.__getitem__)
            # Word pieces mark what goes on with a word, the others what begins or ends one.
            pieces = any(token.startswith(_CONTINUED) for token in by_id)
            found = by_id if pieces else map(_whole, by_id)
            words = dict.fromkeys(word.lower() for word in found if word)
            usable = tuple(w for w in words if len(w) > 2 and w.isascii() and w.isalpha())
            self._words = (len(self.tokenizer), usable)
        return self._words[1]

    def content(self, text: str) -> list[int]:
        """The ids of a text, whole and without any frame."""
        return self._ids(self._prepared(text))

    def _prepared(self, text: str) -> str:
        """A text as the pipeline gives it to its tokenizer."""
        if hasattr(self._pipe, "maybe_convert_prompt"):
            text = self._pipe.maybe_convert_prompt(text, self.tokenizer)
        if hasattr(self._pipe, "_text_preprocessing"):
            (text,) = self._pipe._text_preprocessing(text)
        return text

    def _ids(self, text: str) -> list[int]:
        encoded = self.reader()(text, add_special_tokens=False, truncation=False, verbose=False)
        return list(encoded.input_ids)

    def reader(self) -> Any:
        """A tokenizer of our own: a call sets how it pads and truncates, in whatever thread."""
        if self._own is None or len(self._own) != len(self.tokenizer):
            self._own = copy.deepcopy(self.tokenizer)
        return self._own

    @property
    def neutral_id(self) -> int:
        """The token that stands in for a masked one: the tokenizer's own mask token or sentinel,
        else its unknown token, else padding."""
        tokenizer = self.tokenizer
        for known in (tokenizer.mask_token_id, self._id_of("<extra_id_0>")):
            if known is not None:
                return int(known)
        others = (tokenizer.unk_token_id, tokenizer.pad_token_id, 0)
        return int(next(i for i in others if i is not None))

    def texts(self, ids: Sequence[int]) -> list[str]:
        """The tokens as a person would read them."""
        return [_readable(t) for t in self.tokenizer.convert_ids_to_tokens(list(ids))]

    def unspoken(self, embeds: Tensor, mask: Tensor | None, pooled: Tensor | None) -> TextStream:
        """The stream of embeddings that no text is known of, such as zeros for no negative."""
        size = embeds.shape[:2]
        return TextStream(
            name=self.name,
            embeds=embeds,
            roles=torch.full(size, int(Role.FRAME), dtype=torch.int8),
            tokens=(("",) * size[1],) * size[0],
            pooled=pooled,
            pooled_read=pooled is not None,
            mask=mask,
        )

    @contextmanager
    def lora_scaled(self) -> Iterator[None]:
        """LoRA layers scaled as the call at hand does."""
        if self.lora_scale is None:
            yield
            return
        scale_lora_layers(self.model, self.lora_scale)
        try:
            yield
        finally:
            unscale_lora_layers(self.model, self.lora_scale)

    def _id_of(self, token: str) -> int | None:
        known = self.tokenizer.get_vocab().get(token)
        return None if known is None else int(known)

    def _weights(self) -> tuple[object, ...]:
        """Changes whenever the encoder's weights or LoRA settings do."""
        parameters = tuple((id(p), p._version) for p in self.model.parameters())
        lora = tuple(
            (tuple(scaling.items()), tuple(m.active_adapters), m.merged, m.disable_adapters)
            for m in self.model.modules()
            if isinstance(scaling := getattr(m, "scaling", None), dict)
        )
        table = table_of(self.model)
        return (parameters, lora, self.lora_scale, id(table), table and table.version)


def windows_of(content: Sequence[int], read: Sequence[int], size: int) -> list[list[int]]:
    """Windows that cover a text: what is read of it first, then the rest.

    Args:
        content: the ids of the whole text.
        read: the ids that the model reads.
        size: the length of further windows.
    """
    end = list(content[-3:])
    if list(read[-3:]) == end or len(content) <= len(read):
        return [list(read)]
    begun = list(content[: len(read)]) == list(read)
    # Where the two do not agree nothing may be left out: the whole text is examined once more.
    rest = list(content[len(read) :] if begun else content)
    return [list(read), *(rest[i : i + size] for i in range(0, len(rest), size))]


def model_presets(model: Any) -> Mapping[str, tuple[str, ...]]:
    """Concept presets in a text encoder's config (`concept_presets`), which fit its vocabulary."""
    shipped = getattr(model.config, "concept_presets", None) or {}
    return {name: tuple(phrases) for name, phrases in shipped.items()}


def check_rows(rows: Sequence[Row], embeds: Tensor) -> None:
    """Make sure that texts and embeddings can be told apart.

    Raises:
        GuardError: there are more of one than of the other.
    """
    if len(rows) != embeds.shape[0]:
        raise GuardError(
            f"{len(rows)} texts were encoded to {embeds.shape[0]} rows of embeddings; they cannot "
            f"be told apart. Check the pipeline's adapter."
        )


def _whole(token: str) -> str:
    if token.endswith(_WORD_END):
        return token.removesuffix(_WORD_END)
    return next((token.removeprefix(s) for s in _WORD_STARTS if token.startswith(s)), "")


def _readable(token: str) -> str:
    return shown(token) or _whole(token) or token
