"""SAFREE as a plugin."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from embedops.edits import Edit, Trace, Window
from embedops.encoders import Encoder
from embedops.extension import Plugin
from embedops.features import FeatureEdit
from embedops.streams import Conditioning, Role, TextStream
from embedops.subspace import Subspace
from embedops_safree.concept_space import Concepts, SpanCache, unanswered
from embedops_safree.config import SafreeConfig
from embedops_safree.examination import Examined, examine
from embedops_safree.re_attention import ReAttention
from embedops_safree.self_validation import PUBLISHED_STEPS, filter_window, last_step

_GUIDANCE_OFF = (
    "the concepts are not in the negative prompt: guidance is off, or the negative was given as "
    "embeddings"
)


class Safree(Plugin[SafreeConfig]):
    """Steer the tokens that carry a concept out of the concept's subspace (SAFREE).

    SAFREE, arXiv 2410.12761, ICLR 2025. Training-free: the concept phrases' sentence vectors span
    a subspace; a token triggers when masking it takes the prompt away from that subspace; its
    embedding is projected into the prompt's own space and out of the concepts'; the more that
    changes the prompt, the longer it holds. A token's trace gives the distance `δ` and what it
    was held against, in the units of the encoder's sentence vectors; the values `z` and `t_prime`
    (in steps of 50) are self-validation's. A prompt is flagged where a token triggers, which the
    rule, relative to the prompt's own mean, finds in most prompts: read `t_prime` beside it, or
    raise `alpha`, before rejecting anything for it.

    Ours, because the paper is silent: every text encoder that the denoiser reads is steered on its
    own and the longest of their filters holds for all; a pooled vector that the denoiser reads
    loses its part in the concepts' subspace when a token of the prompt triggers; prompts of one
    token and prompts beyond the encoder's length (see `triggers`); `strength`.
    """

    name = "safree"
    Config = SafreeConfig

    def __init__(self, config: SafreeConfig) -> None:
        super().__init__(config)
        self._spans = SpanCache()

    def edit(self, conditioning: Conditioning, encoder: Encoder) -> Edit:
        """The steered batch.

        Raises:
            UnknownNameError: a concept is no preset of the model or of embedops.
            GuardError: a text encoder cannot be looked at, or its vectors are not finite.
        """
        config = self.config
        phrases = config.wanted(encoder.presets)
        if not phrases:
            trace = Trace(self.name, flagged=False, window=None, notes=("no concepts were given",))
            rows = len(conditioning)
            return Edit(conditioning, (None,) * rows, (trace,) * rows)
        concepts = Concepts(phrases, encoder, self._spans)
        looks = self._look(conditioning, encoder, concepts)
        windows = tuple(self._window(row) for row in looks)
        edited = conditioning.replace(*self._steered(conditioning, looks, windows, concepts))
        outside: Conditioning | None = None
        notes = [_GUIDANCE_OFF] * len(looks) if config.negative_prompt else [""] * len(looks)
        if config.negative_prompt and conditioning.negative is not None:
            negative = _appended(conditioning.negative, phrases, encoder)
            edited, outside = edited.avoiding(negative), conditioning.avoiding(negative)
            notes = [_cut_short(negative, row) for row in range(len(negative))]
        traces = tuple(
            self._trace(row, window, (note,) if note else ())
            for row, window, note in zip(looks, windows, notes, strict=True)
        )
        return Edit(edited, windows, traces, outside)

    def features(self) -> FeatureEdit | None:
        config = self.config
        if not config.re_attention or config.re_attention_scale == 1:
            return None
        return ReAttention(config.re_attention_scale, config.re_attention_radius)

    def _look(
        self, conditioning: Conditioning, encoder: Encoder, concepts: Concepts
    ) -> list[tuple[Examined, ...]]:
        """Per prompt, what each text encoder says of it."""
        without_each = encoder.leave_one_out(conditioning)
        by_stream = []
        for stream in conditioning.streams:
            space = concepts.sentence_space(stream.name)
            if stream.name not in without_each:
                raise unanswered(stream.name)
            by_stream.append(
                [
                    examine(stream, row, asked, space, self.config)
                    for row, asked in enumerate(without_each[stream.name])
                ]
            )
        return list(zip(*by_stream, strict=True))

    def _steered(
        self,
        conditioning: Conditioning,
        looks: Sequence[Sequence[Examined]],
        windows: Sequence[Window | None],
        concepts: Concepts,
    ) -> list[TextStream]:
        rows = [row for row, window in enumerate(windows) if window is not None]
        streams = []
        for number, stream in enumerate(conditioning.streams if rows else ()):
            embeds = stream.embeds.clone()
            for row in rows:
                embeds[row] = looks[row][number].safe_rows(embeds[row], self.config.strength)
            pooled = None
            if stream.pooled_read:
                pooled = self._steered_pooled(stream, concepts.pooled_space(stream.name), rows)
            streams.append(stream.replace(embeds=embeds, pooled=pooled))
        return streams

    def _steered_pooled(self, stream: TextStream, concepts: Subspace, rows: list[int]) -> Tensor:
        if stream.pooled is None:
            raise unanswered(stream.name)
        pooled = stream.pooled.clone()
        old = pooled[rows].float()
        steered = torch.lerp(old, concepts.reject(old), self.config.strength)
        pooled[rows] = steered.to(pooled.dtype)
        return pooled

    def _window(self, row: Sequence[Examined]) -> Window | None:
        acting = [look.z for look in row if look.at]
        if not acting or self.config.strength == 0:
            return None
        return filter_window(self._last(max(acting))) if self.config.self_validation else Window()

    def _last(self, z: float) -> int:
        config = self.config
        gamma = config.gamma_fraction * PUBLISHED_STEPS
        return last_step(z, config.variant, config.calibration, gamma)

    def _trace(
        self, row: Sequence[Examined], window: Window | None, notes: tuple[str, ...]
    ) -> Trace:
        values = _values(row)
        if values and self.config.self_validation:
            values["t_prime"] = float(self._last(values["z"]))
        unread = max((look.unread for look in row), default=0)
        if unread:
            notes = (
                *notes,
                f"{unread} triggering tokens lie beyond the text encoder's length, where the model "
                f"does not read them",
            )
        return Trace(
            plugin=self.name,
            flagged=any(look.triggers for look in row),
            window=window,
            tokens=tuple(token for look in row for token in look.trace()),
            values=values,
            notes=notes,
        )


def _values(row: Sequence[Examined]) -> dict[str, float]:
    """`z` of the encoder whose filter is the longest, and of each where there are several."""
    asked = [look for look in row if look.asked.tokens]
    if not asked:
        return {}
    acting = [look for look in asked if look.at] or asked
    values = {"z": max(look.z for look in acting)}
    if len(asked) > 1:
        values.update({f"z {look.asked.stream}": look.z for look in asked})
    return values


def _appended(negative: Conditioning, phrases: Sequence[str], encoder: Encoder) -> Conditioning:
    """The negative prompts with the concept phrases after them."""
    listed = ", ".join(phrases)
    return encoder.encode_negative([f"{p}, {listed}" if p else listed for p in negative.prompts])


def _cut_short(negative: Conditioning, row: int) -> str:
    """What to tell of a negative prompt that may not have fitted; empty where it did."""
    full = [s.name for s in negative.streams if not s.positions(row, Role.PAD)]
    if not full:
        return ""
    return (
        f"the negative prompt fills {', '.join(full)}: concept phrases beyond the encoder's length "
        f"are not read. Give fewer phrases or a shorter negative prompt"
    )
