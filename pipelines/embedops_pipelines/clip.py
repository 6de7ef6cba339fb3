"""CLIP text encoders, as Stable Diffusion and its relatives use them."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.utils.peft_utils import scale_lora_layers, unscale_lora_layers
from torch import Tensor

from embedops.encoders import LeaveOneOut
from embedops.errors import ConfigError
from embedops.streams import Role, TextStream
from embedops_pipelines.clip_leave_one_out import (
    Projected,
    ProjectionLog,
    layers_are_free,
    pooled_without_each,
    projections,
)

_WORD_END = "</w>"


@dataclass(frozen=True, eq=False)
class Encoding:
    """One call of a text encoder, as it was seen to happen.

    Attributes:
        ids: token ids `[batch, seq]`, after truncation and textual-inversion expansion.
        pooled: the states at EOS after the final layer norm, `[batch, dim]`. Read there and not
            where CLIP's own pooling looks: with old configs that is the largest token id, which a
            token added later takes over.
        projected: per layer the attention projections, for masked variants to reuse; empty where
            the encoder does not let its layers be called one by one.
    """

    ids: Tensor
    pooled: Tensor
    projected: tuple[Projected, ...]

    def row_of(self, ids: Sequence[int]) -> int | None:
        """The row that begins with `ids`; None if there is none."""
        rows = (r for r, others in enumerate(self.ids.tolist()) if others[: len(ids)] == list(ids))
        return next(rows, None)


class ClipText:
    """One CLIP tokenizer and text encoder pair of a pipeline.

    Args:
        pipe: the pipeline; its textual-inversion tokens are expanded as it does itself.
        name: the component's name, which becomes the stream's.
        tokenizer: the tokenizer's component name.
        lora_scale: what the call at hand scales LoRA layers by; None for no LoRA scale.
    """

    def __init__(
        self, pipe: Any, name: str, tokenizer: str, lora_scale: float | None = None
    ) -> None:
        self._pipe = pipe
        self.name = name
        self.model = getattr(pipe, name)
        self.tokenizer = getattr(pipe, tokenizer)
        self.lora_scale = lora_scale
        self._cache: dict[str, Tensor] = {}
        self._cached_for: tuple[object, ...] = ()
        self._own: Any = None

    @property
    def window(self) -> int:
        """Content tokens that fit between BOS and EOS."""
        return int(self.tokenizer.model_max_length) - 2

    @contextmanager
    def record(self) -> Iterator[list[Encoding]]:
        """Collect the calls that this thread makes of the text encoder inside the block."""
        calls: list[Encoding] = []
        owner = threading.get_ident()
        free = layers_are_free(self.model)

        def note(_: object, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            if threading.get_ident() == owner:
                ids = (args[0] if args else kwargs["input_ids"]).detach().cpu()
                pooled = self._at_end(ids, output.last_hidden_state.detach())
                calls.append(Encoding(ids, pooled, log.take() if free else ()))

        with projections(self.model) if free else nullcontext(ProjectionLog(0)) as log:
            handle = self.model.register_forward_hook(note, with_kwargs=True)
            try:
                yield calls
            finally:
                handle.remove()

    def stream(self, encoding: Encoding, embeds: Tensor, *, pooled_read: bool) -> TextStream:
        """The stream of an encoding whose embeddings `[batch, seq, dim]` the denoiser reads."""
        return TextStream(
            name=self.name,
            embeds=embeds,
            roles=torch.tensor([self._roles(row) for row in encoding.ids.tolist()]).char(),
            tokens=tuple(tuple(self._texts(row)) for row in encoding.ids.tolist()),
            pooled=encoding.pooled,
            pooled_read=pooled_read,
        )

    def pooled(self, texts: Sequence[str]) -> Tensor:
        """Sentence vectors of `texts`, float32 `[len(texts), dim]`, cached by weights and text."""
        weights = self._weights()
        if weights != self._cached_for:
            self._cache, self._cached_for = {}, weights
        missing = [t for t in dict.fromkeys(texts) if t not in self._cache]
        if missing:
            windows = [self._content(text)[: self.window] for text in missing]
            for text, ids in zip(missing, windows, strict=True):
                if not ids and text:
                    raise ConfigError(
                        f"{text!r} has no tokens in the vocabulary of {self.name}. Use words that "
                        f"the encoder knows."
                    )
            self._cache.update(zip(missing, self._pool(windows), strict=True))
        return torch.stack([self._cache[t] for t in texts])

    def leave_one_out(self, prompt: str, seen: Sequence[Encoding]) -> LeaveOneOut:
        """Pooled vectors of a prompt with each content token masked, in windows that cover it.

        `seen` are encodings of this call; what they hold of the prompt is not computed again.
        """
        content = self._content(prompt)
        size = self.window
        windows = [content[i : i + size] for i in range(0, len(content), size)] or [[]]
        masked, whole = [], []
        with self._lora_scaled(), torch.no_grad():
            for window in windows:
                ids = self._framed(window)
                encoding, row = self._encoded(ids, seen)
                plain = [layer.row(row, len(ids)) for layer in encoding.projected]
                on_device = torch.tensor(ids, device=self.model.device)
                masked.append(pooled_without_each(self.model, on_device, self.neutral_id, plain))
                whole.append(encoding.pooled[row])
        return LeaveOneOut(
            stream=self.name,
            tokens=tuple(self._texts(content)),
            positions=tuple(i + 1 if i < size else None for i in range(len(content))),
            window=tuple(i // size for i in range(len(content))),
            masked=torch.cat(masked).float(),
            whole=torch.stack(whole).float(),
        )

    @property
    def neutral_id(self) -> int:
        """The token that stands in for a masked one.

        CLIP has no mask token, and its unknown token is EOS, which would end the sentence. Id 0,
        the exclamation mark, is what OpenCLIP pads with: the least meaning that a token has.
        """
        mask = self.tokenizer.mask_token_id
        return 0 if mask is None else int(mask)

    def vocabulary(self) -> tuple[str, ...]:
        """Whole words that are one token, lower case, most frequent first."""
        by_id = sorted(self.tokenizer.get_vocab().items(), key=lambda item: item[1])
        words = (t.removesuffix(_WORD_END) for t, _ in by_id if t.endswith(_WORD_END))
        return tuple(w for w in words if len(w) > 2 and w.isascii() and w.isalpha())

    def _encoded(self, ids: list[int], seen: Sequence[Encoding]) -> tuple[Encoding, int]:
        for encoding in seen:
            row = encoding.row_of(ids)
            if row is not None:
                return encoding, row
        with self.record() as calls:
            self.model(torch.tensor([ids], device=self.model.device))
        return calls[0], 0

    def _at_end(self, ids: Tensor, states: Tensor) -> Tensor:
        ends = torch.tensor([self._end(row) for row in ids.tolist()], device=states.device)
        return states[torch.arange(len(ids), device=states.device), ends]

    def _end(self, ids: Sequence[int]) -> int:
        """The position of the EOS that ends the prompt.

        Not the first: a prompt may spell the EOS token out, and what follows it is read by the
        denoiser all the same.
        """
        eos, pad = self.tokenizer.eos_token_id, self.tokenizer.pad_token_id
        backwards = range(len(ids) - 1, 0, -1)
        if pad == eos:
            return next((i for i in backwards if ids[i] != eos), 0) + 1
        return next(i for i in backwards if ids[i] == eos)

    def _content(self, text: str) -> list[int]:
        if hasattr(self._pipe, "maybe_convert_prompt"):
            text = self._pipe.maybe_convert_prompt(text, self.tokenizer)
        encoded = self._reader()(text, add_special_tokens=False, truncation=False, verbose=False)
        return list(encoded.input_ids)

    def _reader(self) -> Any:
        """A tokenizer of our own: a call sets how it pads and truncates, in whatever thread."""
        if self._own is None or len(self._own) != len(self.tokenizer):
            self._own = copy.deepcopy(self.tokenizer)
        return self._own

    def _framed(self, content: Sequence[int]) -> list[int]:
        return [self.tokenizer.bos_token_id, *content, self.tokenizer.eos_token_id]

    def _pool(self, windows: Sequence[Sequence[int]]) -> Tensor:
        framed = [self._framed(ids) for ids in windows]
        longest = max(map(len, framed))
        pad = self.tokenizer.pad_token_id  # causal: nothing after EOS can reach it
        ids = torch.tensor([row + [pad] * (longest - len(row)) for row in framed])
        with self._lora_scaled(), torch.no_grad():
            states = self.model(ids.to(self.model.device)).last_hidden_state
        return self._at_end(ids, states).float()

    def _roles(self, ids: Sequence[int]) -> list[Role]:
        end = self._end(ids)
        return [
            Role.FRAME,
            *[Role.CONTENT] * (end - 1),
            Role.END,
            *[Role.PAD] * (len(ids) - end - 1),
        ]

    def _texts(self, ids: Sequence[int]) -> list[str]:
        return [
            t.removesuffix(_WORD_END) if len(t) > len(_WORD_END) else t
            for t in self.tokenizer.convert_ids_to_tokens(list(ids))
        ]

    @contextmanager
    def _lora_scaled(self) -> Iterator[None]:
        if self.lora_scale is None:
            yield
            return
        scale_lora_layers(self.model, self.lora_scale)
        try:
            yield
        finally:
            unscale_lora_layers(self.model, self.lora_scale)

    def _weights(self) -> tuple[object, ...]:
        """Changes whenever the encoder's weights or LoRA settings do."""
        parameters = tuple((id(p), p._version) for p in self.model.parameters())
        lora = tuple(
            (tuple(scaling.items()), tuple(m.active_adapters), m.merged, m.disable_adapters)
            for m in self.model.modules()
            if isinstance(scaling := getattr(m, "scaling", None), dict)
        )
        return (parameters, lora, self.lora_scale)


def model_presets(model: Any) -> Mapping[str, tuple[str, ...]]:
    """Concept presets in a text encoder's config (`concept_presets`), which fit its vocabulary."""
    shipped = getattr(model.config, "concept_presets", None) or {}
    return {name: tuple(phrases) for name, phrases in shipped.items()}
