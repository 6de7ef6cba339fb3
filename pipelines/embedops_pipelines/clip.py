"""CLIP text encoders, as Stable Diffusion and its relatives use them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from embedops.encoders import LeaveOneOut
from embedops.streams import Role, TextStream
from embedops_pipelines.clip_leave_one_out import (
    Projected,
    ProjectionLog,
    layers_are_free,
    pooled_without_each,
    projections,
)
from embedops_pipelines.text_model import Encoding, Row, TextModel, check_rows


class ClipText(TextModel):
    """One CLIP tokenizer and text encoder pair of a pipeline.

    Its sentence vector is the state at EOS in the layer that the denoiser reads: after the final
    norm, or with `skip` that many layers before the last and without the norm. It is read at EOS
    and not where CLIP's own pooling looks: with old configs that is the largest token id, which a
    token added later takes over.

    Args:
        pipe: the pipeline; its textual-inversion tokens are expanded as it does itself.
        name: the text encoder's component name.
        tokenizer: the tokenizer's component name.
        skip: layers left out before the states are read; SDXL and SD3 leave out one.
        lora_scale: what the call at hand scales LoRA layers by.
    """

    def __init__(
        self,
        pipe: Any,
        name: str,
        tokenizer: str,
        *,
        skip: int = 0,
        lora_scale: float | None = None,
    ) -> None:
        super().__init__(pipe, name, tokenizer, self._read, lora_scale)
        self._skip = skip
        self._log: ProjectionLog | None = None

    @property
    def window(self) -> int:
        """Content tokens that fit between BOS and EOS."""
        return int(self.tokenizer.model_max_length) - 2

    def stream(
        self,
        rows: Sequence[Row],
        embeds: Tensor,
        *,
        mask: Tensor | None = None,
        pooled: Tensor | None = None,
        pooled_read: bool = False,
    ) -> TextStream:
        check_rows(rows, embeds)
        if pooled is None:
            pooled = torch.stack([self._state_at_end(row) for row in rows])
        return TextStream(
            name=self.name,
            embeds=embeds,
            roles=torch.tensor([self._roles(row.ids) for row in rows]).char(),
            tokens=tuple(tuple(self.texts(row.ids)) for row in rows),
            pooled=pooled,
            pooled_read=pooled_read,
            mask=mask,
        )

    def leave_one_out(self, text: str, row: Row, positions: Sequence[int]) -> LeaveOneOut:
        content = self.content(text)
        size = len(row.ids) - 2  # what fits between BOS and EOS
        windows = [content[i : i + size] for i in range(0, len(content), size)] or [[]]
        masked, whole = [], []
        with self.lora_scaled(), torch.no_grad():
            for window in windows:
                ids = self._framed(window)
                seen = row if row.ids[: len(ids)] == ids else self._encoded(ids)
                plain = [layer.row(seen.index, len(ids)) for layer in _projected(seen)]
                on_device = torch.tensor(ids, device=seen.encoding.states.device)
                masked.append(
                    pooled_without_each(
                        self.model, on_device, self.neutral_id, plain, skip=self._skip
                    )
                )
                whole.append(self._state_at_end(seen))
        return LeaveOneOut(
            stream=self.name,
            tokens=tuple(self.texts(content)),
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

    def _read(self, output: Any) -> Tensor:
        states: Tensor = (
            output.hidden_states[-1 - self._skip] if self._skip else output.last_hidden_state
        )
        return states

    @contextmanager
    def _watched(self) -> Iterator[None]:
        if not layers_are_free(self.model):
            yield
            return
        with projections(self.model) as log:
            before, self._log = self._log, log
            try:
                yield
            finally:
                self._log = before

    def _encoding(self, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Encoding:
        taken = self._log.take() if self._log is not None else ()
        return Encoding(self._ids_of(args, kwargs), None, self._read(output).detach(), {}, taken)

    def _encoded(self, ids: list[int]) -> Row:
        with self.record() as calls:
            self.model(
                torch.tensor([ids], device=self.model.device),
                output_hidden_states=self._skip > 0,
            )
        return Row(calls[0], 0)

    def _state_at_end(self, row: Row) -> Tensor:
        return row.states[self._end(row.ids)]

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

    def _framed(self, content: Sequence[int]) -> list[int]:
        return [self.tokenizer.bos_token_id, *content, self.tokenizer.eos_token_id]

    def _sentences(self, windows: Sequence[Sequence[int]]) -> Tensor:
        framed = [self._framed(ids) for ids in windows]
        longest = max(map(len, framed))
        pad = self.tokenizer.pad_token_id  # causal: nothing after EOS can reach it
        ids = torch.tensor([row + [pad] * (longest - len(row)) for row in framed])
        output = self.model(ids.to(self.model.device), output_hidden_states=self._skip > 0)
        states = self._read(output)
        ends = torch.tensor([self._end(row) for row in ids.tolist()], device=states.device)
        return states[torch.arange(len(ids), device=states.device), ends].float()

    def _roles(self, ids: Sequence[int]) -> list[Role]:
        end = self._end(ids)
        return [
            Role.FRAME,
            *[Role.CONTENT] * (end - 1),
            Role.END,
            *[Role.PAD] * (len(ids) - end - 1),
        ]


def _projected(row: Row) -> tuple[Projected, ...]:
    extra = row.encoding.extra
    return extra if isinstance(extra, tuple) else ()
