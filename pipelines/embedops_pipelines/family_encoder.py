"""The text encoders of a pipeline, answering plugins' questions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from embedops.encoders import LeaveOneOut
from embedops.errors import GuardError
from embedops.streams import Conditioning, Role
from embedops_pipelines.encode_arguments import (
    PROMPT_BREAK,
    SLOTS,
    given_texts,
    is_ready,
    share_of,
)
from embedops_pipelines.said import Said, Values
from embedops_pipelines.sequence_text import SequenceText
from embedops_pipelines.text_model import Encoding, Row, TextModel, model_presets

if TYPE_CHECKING:
    from embedops_pipelines.text_family import TextFamily

EncodePrompt = Callable[..., Any]

_PROBES = ("a", "the dog")


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
        self.neighbours: Sequence[str] = ()
        """Negative prompts that others must fit beside, where they are encoded by themselves."""

    @property
    def presets(self) -> Mapping[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for model in self._models:
            found = {**model_presets(model.model), **found}
        return found

    def encode(self, texts: Sequence[str]) -> Conditioning:
        return self._encoded_with(texts, self._beside())

    def _encoded_with(self, texts: Sequence[str], beside: Sequence[str]) -> Conditioning:
        every = [*texts, *beside]
        with torch.no_grad():
            result, calls = self.run(self._asking(every))
        said = self.said(self._family.sides(result, 1)[0], calls, 0, len(every))
        self.remember(every, said)
        return _first(self._family.conditioning(said, every), len(texts))

    def encode_negative(self, texts: Sequence[str]) -> Conditioning:
        if self._family.encodes_in_parts:
            return self._encoded_with(texts, self.neighbours)
        negative = None
        if "negative_prompt" in inspect.signature(self._encode_prompt).parameters:
            every = [*texts, *self._beside("negative_")]
            with torch.no_grad():
                result, calls = self.run(self._asking(every, negative=True))
            negative = self._family.sides(result, 1)[1]
        if negative is None:
            raise GuardError(
                f"{type(self._family.pipe).__name__} encodes no negative prompt, so there is no "
                f"negative side to edit. Leave the plugin's negative prompt off."
            )
        said = self.said(negative, calls, len(every), len(every))
        return _first(self._family.conditioning(said, every), len(texts))

    def pooled(self, texts: Sequence[str]) -> Mapping[str, Tensor]:
        self._learn_frames()
        return {
            model.name: model.pooled([share_of(text, number) for text in texts])
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
                    share_of(prompt, number),
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
            model.learn_template(_PROBES, rows[: len(_PROBES)])

    def _beside(self, side: str = "") -> list[str]:
        """The call's own texts, where those that are to take their places must fit beside them.

        One alone has no neighbours to fit.
        """
        if not self._family.pads_to_longest:
            return []
        prompts = given_texts(self._arguments) or []
        if side:
            prompts = given_texts(self._arguments, side, default="", rows=len(prompts)) or []
        return prompts if len(prompts) > 1 else []

    def _asking(self, texts: Sequence[str], *, negative: bool = False) -> dict[str, Any]:
        """The call's arguments for other texts, one image each, without what was given ready."""
        asked = {k: v for k, v in self._arguments.items() if not is_ready(k)}
        slots = [name for name in SLOTS if name in asked] or ["prompt"]
        for number, name in enumerate(slots):
            shares = [share_of(text, number) for text in texts]
            distinct = any(PROMPT_BREAK in text for text in texts)
            asked[name] = shares if number == 0 or distinct else None
            if f"negative_{name}" in asked or (negative and number == 0):
                # A list of its own: some pipelines write into those that they are given.
                given = negative and asked[name] is not None
                asked[f"negative_{name}"] = list(shares) if given else None
        for name in ("num_images_per_prompt", "num_videos_per_prompt"):
            if name in asked:
                asked[name] = 1
        if "do_classifier_free_guidance" in asked or negative:
            asked["do_classifier_free_guidance"] = negative
        return self._completed(asked)

    def _completed(self, asked: dict[str, Any]) -> dict[str, Any]:
        """`asked` with what `encode_prompt` requires and no call has given."""
        known = inspect.signature(self._encode_prompt).parameters
        defaults = {
            **{name: None for name, one in known.items() if one.default is one.empty},
            "device": self._family.pipe._execution_device,
            "num_images_per_prompt": 1,
            "num_videos_per_prompt": 1,
            "do_classifier_free_guidance": False,
        }
        usable = {name for name, one in known.items() if one.kind is not one.VAR_KEYWORD}
        return {**{k: v for k, v in defaults.items() if k in usable}, **asked}


def _first(conditioning: Conditioning, count: int) -> Conditioning:
    return conditioning if len(conditioning) == count else conditioning.select(range(count))
