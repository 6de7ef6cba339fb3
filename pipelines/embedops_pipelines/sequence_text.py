"""Text encoders without a sentence vector of their own: T5 and the language models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from embedops.encoders import LeaveOneOut
from embedops.errors import GuardError
from embedops.streams import Role, TextStream
from embedops_pipelines.text_model import Row, TextModel, check_rows, windows_of

_TOKENS_AT_ONCE = 2048
"""Positions per call of the encoder, which bounds the memory that a long prompt takes."""


@dataclass(frozen=True)
class Frame:
    """What stands before and after every text: BOS and EOS, a chat template, a system prompt."""

    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()

    @classmethod
    def between(cls, first: Sequence[int], second: Sequence[int]) -> Frame:
        """What two encoded texts without a common first or last token share."""
        before = _common(first, second)
        rest = min(len(first), len(second)) - before
        after = min(_common(first[::-1], second[::-1]), rest)
        return cls(tuple(first[:before]), tuple(first[len(first) - after :]))

    def content(self, ids: Sequence[int]) -> range:
        """The positions of the text's own tokens in framed `ids` without padding.

        Where a tokenizer merges a text with its frame, or a template was cut off, what does not
        match the frame counts as content: too much is examined there, never too little.
        """
        start = _common(self.before, ids)
        stop = len(ids) - min(_common(self.after[::-1], ids[::-1]), len(ids) - start)
        return range(start, stop)


class SequenceText(TextModel):
    """A text encoder whose sentence vector is the mean of its states over the content tokens.

    The mean leaves out BOS, EOS, padding and the chat template, whose states would drown short
    texts. Sentence vectors are computed without padding, also where the pipeline lets its
    encoder attend to padding: they serve to compare texts with one another.
    """

    frame: Frame | None = None
    """None until it is learnt from the pipeline or from the tokenizer."""
    lead: str = ""
    """What of the frame is in the text's own first token: the space before a word."""

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
        placed = [self._placed(row, seen) for row, seen in zip(rows, embeds, strict=True)]
        return TextStream(
            name=self.name,
            embeds=embeds,
            roles=torch.tensor([roles for roles, _ in placed], dtype=torch.int8).reshape(
                embeds.shape[:2]
            ),
            tokens=tuple(tokens for _, tokens in placed),
            pooled=pooled,
            pooled_read=pooled_read,
            mask=mask,
        )

    def leave_one_out(self, text: str, row: Row, positions: Sequence[int]) -> LeaveOneOut:
        real = self.real(row)
        ids = row.ids
        read = [ids[real[i]] for i in self.known_frame.content([ids[p] for p in real])]
        windows = windows_of(self.content(text), read, max(len(read), 1))
        masked, whole = [], []
        with self.lora_scaled(), torch.no_grad():
            for window in windows:
                each = [
                    [*window[:i], self.neutral_id, *window[i + 1 :]] for i in range(len(window))
                ]
                vectors = self._sentences([*each, window])
                masked.append(vectors[:-1])
                whole.append(vectors[-1])
        tokens = [i for window in windows for i in window]
        places: list[int | None] = [*positions, *[None] * (len(tokens) - len(positions))]
        return LeaveOneOut(
            stream=self.name,
            tokens=tuple(self.texts(tokens)),
            positions=tuple(places[: len(tokens)]),
            window=tuple(number for number, window in enumerate(windows) for _ in window),
            masked=torch.cat(masked),
            whole=torch.stack(whole),
        )

    def content(self, text: str) -> list[int]:
        prepared = self._prepared(text)
        return self._ids(self.lead + prepared) if prepared else []

    def learn_template(self, texts: Sequence[str], rows: Sequence[Row]) -> None:
        """Take the frame from two texts without a common first or last token, as the pipeline
        encoded them inside its template."""
        real = [[row.ids[p] for p in self.real(row)] for row in rows]
        frame = Frame.between(*real)
        own = [[ids[p] for p in frame.content(ids)] for ids in real]
        for lead in ("", " "):
            if [self._ids(lead + text) for text in texts] == own:
                self.lead = lead
        self.frame = frame

    def learn_frame(self) -> None:
        """Take the frame from the tokenizer: for pipelines that use no template."""
        reader = self.reader()
        first, second = (list(reader(text).input_ids) for text in ("a", "the dog"))
        self.frame = Frame.between(first, second)

    @property
    def known_frame(self) -> Frame:
        if self.frame is None:
            self.learn_frame()
        return self.frame or Frame()

    def real(self, row: Row) -> list[int]:
        """The positions of a row that are no padding."""
        ids, attended = row.ids, row.attended
        if attended is not None:
            return [p for p, seen in enumerate(attended) if seen]
        pad = self.tokenizer.pad_token_id
        start, stop = 0, len(ids)
        while stop > 0 and ids[stop - 1] == pad:
            stop -= 1
        while start < stop and ids[start] == pad:
            start += 1
        return list(range(start, stop))

    def _placed(self, row: Row, seen: Tensor) -> tuple[list[Role], tuple[str, ...]]:
        """Role and text of each position of `seen` `[seq, dim]`, which the denoiser reads."""
        ids, real = row.ids, self.real(row)
        inner = self.known_frame.content([ids[p] for p in real])
        content = [real[i] for i in inner]
        shift = _shift(row.states, seen, content or real, self.name) if real else 0
        roles = [Role.PAD] * seen.shape[0]
        tokens = [""] * seen.shape[0]
        texts = self.texts(ids)
        for position in range(len(ids)):
            place = position + shift
            if 0 <= place < seen.shape[0]:
                tokens[place] = texts[position]
        for number, position in enumerate(real):
            place = position + shift
            if not 0 <= place < seen.shape[0]:
                continue
            ended = ids[position] == self.tokenizer.eos_token_id and number >= inner.stop
            role = Role.END if ended else Role.FRAME
            roles[place] = Role.CONTENT if number in inner else role
        return roles, tuple(tokens)

    def _sentences(self, windows: Sequence[Sequence[int]]) -> Tensor:
        framed = [self._framed(ids) for ids in windows]
        size = max(1, _TOKENS_AT_ONCE // max(map(len, framed)))
        parts = []
        for first in range(0, len(framed), size):
            batch = framed[first : first + size]
            states = self._states(batch)
            begin = len(self.known_frame.before)
            for number, own in enumerate(windows[first : first + size]):
                # A text without tokens of its own is what its frame says.
                stop = begin + len(own) if own else len(batch[number])
                start = begin if own else 0
                parts.append(states[number, start:stop].float().mean(0))
        return torch.stack(parts)

    def _framed(self, content: Sequence[int]) -> list[int]:
        frame = self.known_frame
        return [*frame.before, *content, *frame.after] or [self.neutral_id]

    def _states(self, framed: Sequence[Sequence[int]]) -> Tensor:
        longest = max(map(len, framed))
        pad = self.tokenizer.pad_token_id or 0
        ids = torch.tensor([[*row, *[pad] * (longest - len(row))] for row in framed])
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in framed])
        device = self.model.device
        output = self.model(
            input_ids=ids.to(device), attention_mask=mask.to(device), **self.call_settings
        )
        return self.states(output)

    @property
    def call_settings(self) -> dict[str, object]:
        """How the pipeline calls the encoder, beside ids and mask."""
        return {"output_hidden_states": True}


def _common(first: Sequence[int], second: Sequence[int]) -> int:
    """The length of the longest common prefix."""
    for index, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return index
    return min(len(first), len(second))


def _shift(states: Tensor, seen: Tensor, anchors: Sequence[int], name: str) -> int:
    """Where in `seen` `[seq, dim]` the encoder's `states` `[length, dim]` stand.

    Pipelines crop templates, take padding out and put it back: the place is found, not assumed.

    Args:
        states: what the encoder gave.
        seen: what the denoiser reads.
        anchors: positions of `states` to look for, consecutive.
        name: the text encoder, for the error.

    Raises:
        GuardError: the states are not in what the denoiser reads.
    """
    states = states.to(seen.device, seen.dtype)
    if not bool(torch.isfinite(states[list(anchors)]).all()):
        return 0  # whoever examines it raises for that
    for anchor in (anchors[0], anchors[-1]):
        hits = (seen == states[anchor]).all(-1).nonzero().flatten().tolist()
        for hit in hits:
            shift = int(hit) - anchor
            inside = [p for p in anchors if 0 <= p + shift < seen.shape[0]]
            if torch.equal(seen[[p + shift for p in inside]], states[inside]):
                return shift
    raise GuardError(
        f"what {name} says of a prompt is not found in what the denoiser reads, so the prompt's "
        f"tokens cannot be located. This version of diffusers treats the text in another way; the "
        f"adapter needs an update."
    )
