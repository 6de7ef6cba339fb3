"""What the families have in common: their text encoders are watched while they encode."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from embedops.encoders import LeaveOneOut
from embedops.errors import GuardError
from embedops.families import Adapter, Observed
from embedops.streams import Conditioning, Role, TextStream
from embedops_pipelines.sequence_text import Frame, SequenceText
from embedops_pipelines.text_model import Encoding, Row, TextModel, model_presets

EncodePrompt = Callable[..., Any]
Values = Mapping[str, Any]

PROMPT_BREAK = "\x1e"
"""Stands between the texts of one row where its encoders are given different ones
(`prompt`, `prompt_2`, …): the row is examined and rewritten as one text."""

_PROBES = ("a", "the dog")


@dataclass(frozen=True, eq=False)
class Said:
    """One side of the guidance as `encode_prompt` returned it and as the encoders were seen.

    Attributes:
        values: the returned tensors by name, one row a prompt.
        rows: by text encoder the prompts' rows; None where it was not run for them.
        models: the text encoders by name.
    """

    values: Values
    rows: Mapping[str, Sequence[Row] | None]
    models: Mapping[str, TextModel]

    def stream(
        self,
        name: str,
        embeds: Tensor,
        *,
        mask: Tensor | None = None,
        pooled: Tensor | None = None,
    ) -> TextStream:
        """The stream of one text encoder.

        Args:
            name: its component name.
            embeds: what the denoiser reads of it, `[batch, seq, dim]`.
            mask: the attention mask that goes with it, `[batch, seq]`.
            pooled: the sentence vector that the denoiser reads, `[batch, dim]`.
        """
        model, rows = self.models[name], self.rows[name]
        if rows is None:
            return model.unspoken(embeds, mask, pooled)
        return model.stream(
            rows, embeds, mask=mask, pooled=pooled, pooled_read=pooled is not None
        )

    def states(self, name: str, like: Tensor) -> Tensor:
        """The encoder's own states `[batch, seq, dim]`, for a stream of which only the pooled
        vector is read; zeros where it was not run. Device and dtype are those of `like`."""
        rows = self.rows[name]
        if rows is None:
            return like.new_zeros(like.shape[0], 1, self.models[name].model.config.hidden_size)
        return torch.stack([row.states for row in rows]).to(like.device, like.dtype)


class TextFamily(Adapter):
    """A family whose pipelines have an `encode_prompt` and text encoders that can be watched.

    A subclass names what `encode_prompt` returns, makes its `TextModel`s, and says which of the
    returned tensors hold which encoder's stream.
    """

    returns: ClassVar[tuple[str, ...]]
    """Names of what `encode_prompt` returns, in order; the negative side's begin with
    `negative_`, and `_` is passed over."""
    templated: ClassVar[bool] = False
    """Whether the pipeline puts the text into a chat template or behind an instruction."""
    template_settings: ClassVar[tuple[str, ...]] = ()
    """Arguments of `encode_prompt` that change the template."""
    tiled: ClassVar[tuple[str, ...]] = ()
    """Returned masks that upstream repeats as `[p0, p1, p0, p1]` for several images a prompt."""

    def __init__(self, pipe: Any) -> None:
        super().__init__(pipe)
        self._models: dict[tuple[object, ...], tuple[TextModel, ...]] = {}

    @abstractmethod
    def text_models(self, lora_scale: float | None) -> Sequence[TextModel]:
        """The text encoders that the pipeline has, in the order of `prompt`, `prompt_2`, …"""

    @abstractmethod
    def streams(self, said: Said) -> Sequence[TextStream]:
        """The streams of one side of the guidance."""

    def encoder(self) -> FamilyEncoder:
        return FamilyEncoder(self, self.pipe.encode_prompt, {})

    def observe(
        self, encode_prompt: EncodePrompt, arguments: Mapping[str, Any]
    ) -> tuple[object, Observed]:
        texts = given_texts(arguments)
        encoder = FamilyEncoder(self, encode_prompt, dict(arguments))
        result, calls = encoder.run(arguments)
        count = images_of(arguments)
        positive, negative = self.sides(result, count)
        unnamed = None
        if texts is None:
            # Nobody can look at these; they serve to recognise the denoiser's calls.
            unnamed = self.conditioning(Said(positive, *encoder.nothing()), None)
            return result, Observed(None, encoder, count, unnamed)
        said = encoder.said(positive, calls, 0, len(texts))
        conditioning = self.conditioning(said, texts)
        encoder.remember(texts, said)
        if negative is not None:
            named = given_texts(arguments, "negative_", default="", rows=len(texts))
            if named is None:
                unnamed = self.conditioning(Said(negative, *encoder.nothing()), None)
            else:
                said = encoder.said(negative, calls, len(texts), len(texts))
                conditioning = conditioning.avoiding(self.conditioning(said, named))
        return result, Observed(conditioning, encoder, count, unnamed)

    def conditioning(self, said: Said, texts: Sequence[str] | None) -> Conditioning:
        """One side as a conditioning; `texts` None where it has none."""
        streams = tuple(self.streams(said))
        rows = len(streams[0])
        return Conditioning(("",) * rows if texts is None else tuple(texts), streams)

    def sides(self, result: object, images: int) -> tuple[Values, Values | None]:
        """What `encode_prompt` returned, one row a prompt: the positive and the negative side."""
        values = result if isinstance(result, tuple) else (result,)
        named = {
            name: self._one_a_prompt(name, value, images)
            for name, value in zip(self.returns, values, strict=True)
            if name != "_"
        }
        positive = {k: v for k, v in named.items() if not k.startswith("negative_")}
        negative = {
            k.removeprefix("negative_"): v for k, v in named.items() if k.startswith("negative_")
        }
        present = any(v is not None for v in negative.values())
        return positive, negative if present else None

    def models_for(self, arguments: Mapping[str, Any]) -> tuple[TextModel, ...]:
        """The text encoders with the settings of a call; kept, so that what they have computed
        of concepts is computed once, and made anew when a component is replaced."""
        scale = arguments.get("lora_scale")
        template = repr([arguments.get(name) for name in self.template_settings])
        kept = self._models.get((scale, template), ())
        if not kept or any(m.model is not getattr(self.pipe, m.name) for m in kept):
            kept = tuple(self.text_models(scale))
            self._models[scale, template] = kept
        return kept

    def _one_a_prompt(self, name: str, value: Any, images: int) -> Any:
        if value is None or images == 1:
            return value
        if name.removeprefix("negative_") in self.tiled:
            return value[: len(value) // images]
        return value[::images]


class FamilyEncoder:
    """The text encoders of a pipeline, answering plugins' questions with a call's settings."""

    def __init__(
        self, family: TextFamily, encode_prompt: EncodePrompt, arguments: dict[str, Any]
    ) -> None:
        self._family = family
        self._encode_prompt = encode_prompt
        self._arguments = arguments
        self._models = family.models_for(arguments)
        self._rows: dict[tuple[str, str], Row] = {}

    @property
    def presets(self) -> Mapping[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for model in self._models:
            found = {**model_presets(model.model), **found}
        return found

    def encode(self, texts: Sequence[str]) -> Conditioning:
        with torch.no_grad():
            result, calls = self.run(self._asking(texts))
        said = self.said(self._family.sides(result, 1)[0], calls, 0, len(texts))
        self.remember(texts, said)
        return self._family.conditioning(said, texts)

    def encode_negative(self, texts: Sequence[str]) -> Conditioning:
        if self._family.encodes_in_parts:
            return self.encode(texts)
        with torch.no_grad():
            result, calls = self.run(self._asking(texts, negative=True))
        negative = self._family.sides(result, 1)[1]
        if negative is None:
            raise GuardError(
                f"{type(self._family.pipe).__name__} encodes no negative prompt, so there is no "
                f"negative side to edit. Leave the plugin's negative prompt off."
            )
        return self._family.conditioning(
            self.said(negative, calls, len(texts), len(texts)), texts
        )

    def pooled(self, texts: Sequence[str]) -> Mapping[str, Tensor]:
        self._learn_frames()
        return {
            model.name: model.pooled([self._share(number, text) for text in texts])
            for number, model in enumerate(self._models)
        }

    def leave_one_out(self, conditioning: Conditioning) -> Mapping[str, tuple[LeaveOneOut, ...]]:
        self._learn_frames()
        streams = {stream.name for stream in conditioning.streams}
        models = [(n, model) for n, model in enumerate(self._models) if model.name in streams]
        unknown = [
            prompt
            for prompt in dict.fromkeys(conditioning.prompts)
            if any((model.name, prompt) not in self._rows for _, model in models)
        ]
        if unknown:
            self.encode(unknown)
        return {
            model.name: tuple(
                model.leave_one_out(
                    self._share(number, prompt),
                    self._rows[model.name, prompt],
                    conditioning.stream(model.name).positions(row, Role.CONTENT),
                )
                for row, prompt in enumerate(conditioning.prompts)
            )
            for number, model in models
        }

    def vocabulary(self) -> tuple[str, ...]:
        return self._models[0].vocabulary()

    # For the family that made it.

    def run(self, arguments: Mapping[str, Any]) -> tuple[Any, Mapping[str, Sequence[Encoding]]]:
        """`encode_prompt` with what each text encoder did meanwhile."""
        self._learn_frames()
        with self._recorded() as calls:
            result = self._encode_prompt(**arguments)
        return result, calls

    def said(
        self,
        values: Values,
        calls: Mapping[str, Sequence[Encoding]],
        first: int,
        count: int,
    ) -> Said:
        """One side: `count` texts, encoded after `first` others.

        Raises:
            GuardError: an encoder was run on another number of texts.
        """
        rows: dict[str, Sequence[Row] | None] = {}
        for name, encodings in calls.items():
            every = [Row(e, index) for e in encodings for index in range(e.ids.shape[0])]
            own = every[first : first + count] if first == 0 else every[first:]
            if len(own) == 1:
                own = own * count  # one negative prompt for all
            if own and len(own) != count:
                raise GuardError(
                    f"{count} prompts were encoded to {len(own)} rows of tokens by {name}; they "
                    f"cannot be told apart. Check the pipeline's adapter."
                )
            rows[name] = own or None
        return Said(values, rows, {model.name: model for model in self._models})

    def nothing(self) -> tuple[Mapping[str, None], Mapping[str, TextModel]]:
        """Rows and models of a side that has no text."""
        return {m.name: None for m in self._models}, {m.name: m for m in self._models}

    def remember(self, texts: Sequence[str], said: Said) -> None:
        """Keep the rows of some texts, which questions about them start from."""
        for name, rows in said.rows.items():
            for text, row in zip(texts, rows or (), strict=False):
                self._rows[name, text] = row

    @contextmanager
    def _recorded(self) -> Iterator[Mapping[str, Sequence[Encoding]]]:
        with ExitStack() as stack:
            yield {m.name: stack.enter_context(m.record()) for m in self._models}

    def _learn_frames(self) -> None:
        """What the pipeline puts around a text, from two texts that share nothing."""
        lacking = [m for m in self._models if isinstance(m, SequenceText) and m.frame is None]
        if not lacking:
            return
        if not self._family.templated:
            for model in lacking:
                model.learn_frame()
            return
        with self._recorded() as calls, torch.no_grad():
            self._encode_prompt(**self._asking(_PROBES))
        for model in lacking:
            rows = [Row(e, i) for e in calls[model.name] for i in range(e.ids.shape[0])]
            real = [[row.ids[p] for p in model.real(row)] for row in rows[:2]]
            model.frame = Frame.between(*real)

    def _asking(self, texts: Sequence[str], *, negative: bool = False) -> dict[str, Any]:
        """The call's arguments for other texts, one image each, without what was given ready."""
        asked = {k: v for k, v in self._arguments.items() if not _is_ready(k)}
        slots = [k for k in ("prompt", "prompt_2", "prompt_3", "prompt_4") if k in asked]
        names = slots or ["prompt"]
        for number, name in enumerate(names):
            shares = [_share_of(text, number) for text in texts]
            distinct = any(PROMPT_BREAK in text for text in texts)
            asked[name] = shares if number == 0 or distinct else None
            if f"negative_{name}" in asked or (negative and number == 0):
                asked[f"negative_{name}"] = asked[name] if negative else None
        for name in ("num_images_per_prompt", "num_videos_per_prompt"):
            if name in asked:
                asked[name] = 1
        if "do_classifier_free_guidance" in asked or negative:
            asked["do_classifier_free_guidance"] = negative
        return self._completed(asked)

    def _completed(self, asked: dict[str, Any]) -> dict[str, Any]:
        """`asked` with what `encode_prompt` requires and no call has given."""
        import inspect

        known = inspect.signature(self._encode_prompt).parameters
        pipe = self._family.pipe
        defaults = {
            "device": pipe._execution_device,
            "num_images_per_prompt": 1,
            "num_videos_per_prompt": 1,
            "do_classifier_free_guidance": False,
        }
        return {
            **{name: value for name, value in defaults.items() if name in known},
            **asked,
        }

    def _share(self, number: int, text: str) -> str:
        return _share_of(text, number)


def given_texts(
    arguments: Mapping[str, Any],
    side: str = "",
    *,
    default: str | None = None,
    rows: int = 1,
) -> list[str] | None:
    """What a call of `encode_prompt` is to encode, one text a row; None for ready embeddings.

    Args:
        arguments: the call's.
        side: `""` or `"negative_"`.
        default: stands in where no text was given.
        rows: what a single text is repeated to.
    """
    names = [f"{side}prompt", *(f"{side}prompt_{n}" for n in (2, 3, 4))]
    for name, value in arguments.items():
        if value is not None and _is_ready(name) and name.startswith("negative_") == bool(side):
            return None
    first = arguments.get(names[0])
    if first is None:
        first = default
    if first is None:
        return None
    columns = [first, *(arguments.get(name) or first for name in names[1:])]
    lists = [[c] * rows if isinstance(c, str) else list(c) for c in columns]
    return [
        texts[0] if len(set(texts)) == 1 else PROMPT_BREAK.join(texts)
        for texts in zip(*lists, strict=True)
    ]


def images_of(arguments: Mapping[str, Any]) -> int:
    """Pictures or videos for each prompt of a call."""
    for name in ("num_images_per_prompt", "num_videos_per_prompt"):
        if arguments.get(name) is not None:
            return int(arguments[name])
    return 1


def _is_ready(name: str) -> bool:
    """Whether an argument of `encode_prompt` takes something that is encoded already."""
    return "embeds" in name or name.endswith("mask")


def _share_of(text: str, number: int) -> str:
    shares = text.split(PROMPT_BREAK)
    return shares[min(number, len(shares) - 1)]
