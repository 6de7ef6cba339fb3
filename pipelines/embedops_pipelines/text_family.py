"""What the families have in common: their text encoders are watched while they encode."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from embedops.families import Adapter, Observed
from embedops.streams import Conditioning, TextStream
from embedops_pipelines.encode_arguments import call_defaults, given_texts, images_of
from embedops_pipelines.family_encoder import EncodePrompt, FamilyEncoder
from embedops_pipelines.said import Said, Values
from embedops_pipelines.text_model import TextModel


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
    pads_to_longest: ClassVar[bool] = False
    """Whether texts are padded to the longest that is encoded with them, with no mask to hide it:
    others are then encoded beside the call's own, so that they can take their places."""
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
        encode_prompt = self.pipe.encode_prompt
        settings = call_defaults(type(self.pipe).__call__, encode_prompt)
        return FamilyEncoder(self, encode_prompt, settings)

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

    def join(self, parts: Sequence[Observed]) -> Observed:
        encoder = parts[0].encoder
        negative = parts[1].conditioning if len(parts) > 1 and self.pads_to_longest else None
        if negative is not None and len(negative) > 1 and isinstance(encoder, FamilyEncoder):
            encoder.neighbours = negative.prompts
        return super().join(parts)

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
        if not kept or any(self._was_replaced(model) for model in kept):
            kept = tuple(self.text_models(scale))
            self._models[scale, template] = kept
        return kept

    def _was_replaced(self, model: TextModel) -> bool:
        now = getattr(self.pipe, model.name), getattr(self.pipe, model.spelt_by)
        return now[0] is not model.model or now[1] is not model.component

    def tokenizers(self) -> Mapping[str, str]:
        return {model.name: model.spelt_by for model in self.text_models(None)}

    def _one_a_prompt(self, name: str, value: Any, images: int) -> Any:
        if value is None or images == 1:
            return value
        if name.removeprefix("negative_") in self.tiled:
            return value[: len(value) // images]
        return value[::images]
