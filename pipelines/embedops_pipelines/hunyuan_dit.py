"""HunyuanDiT: a BERT and an mT5 encoder, encoded one after the other, guidance in one batch."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from embedops.families import Bundle, Observed
from embedops.streams import Conditioning, TextStream
from embedops_pipelines.family_encoder import EncodePrompt, FamilyEncoder
from embedops_pipelines.said import Said
from embedops_pipelines.sequence_text import SequenceText
from embedops_pipelines.text_family import TextFamily
from embedops_pipelines.text_model import TextModel

_LENGTHS = {"text_encoder": 77, "text_encoder_2": 256}


class HunyuanDiT(TextFamily):
    """Text-to-image pipelines of HunyuanDiT.

    The pipeline runs `encode_prompt` once for each encoder. What a call says is understood from
    both at once: they are encoded together for the plugins, whichever of them the pipeline asks.
    """

    family: ClassVar[str] = "hunyuan-dit"
    pipelines: ClassVar[tuple[str, ...]] = ("HunyuanDiTPipeline",)
    denoisers: ClassVar[tuple[str, ...]] = ("transformer",)
    encodes_in_parts: ClassVar[bool] = True
    returns: ClassVar[tuple[str, ...]] = (
        *("embeds", "negative_embeds", "mask", "negative_mask"),
        *("embeds_2", "negative_embeds_2", "mask_2", "negative_mask_2"),
    )
    tiled: ClassVar[tuple[str, ...]] = ("mask", "mask_2")

    def text_models(self, lora_scale: float | None) -> Sequence[TextModel]:
        return [
            SequenceText(self.pipe, "text_encoder", "tokenizer", lora_scale=lora_scale),
            SequenceText(self.pipe, "text_encoder_2", "tokenizer_2", lora_scale=lora_scale),
        ]

    def encoder(self) -> FamilyEncoder:
        return FamilyEncoder(self, _both(self.pipe.encode_prompt), {"negative_prompt": None})

    def observe(
        self, encode_prompt: EncodePrompt, arguments: Mapping[str, Any]
    ) -> tuple[object, Observed]:
        _, observed = super().observe(_both(encode_prompt), arguments)
        return encode_prompt(**arguments), observed

    def join(self, parts: Sequence[Observed]) -> Observed:
        return next((part for part in parts if part.conditioning is None), parts[0])

    def streams(self, said: Said) -> Sequence[TextStream]:
        values = said.values
        return [
            said.stream("text_encoder", values["embeds"], mask=values["mask"]),
            said.stream("text_encoder_2", values["embeds_2"], mask=values["mask_2"]),
        ]

    def bundle(self, conditioning: Conditioning, inputs: Mapping[str, object]) -> Bundle:
        bert, t5 = (conditioning.stream(name) for name in _LENGTHS)
        return {
            "encoder_hidden_states": bert.embeds,
            "text_embedding_mask": bert.mask_or_ones,
            "encoder_hidden_states_t5": t5.embeds,
            "text_embedding_mask_t5": t5.mask_or_ones,
        }


def _both(encode_prompt: EncodePrompt) -> EncodePrompt:
    """`encode_prompt` for both encoders, with the lengths that the pipeline gives them."""

    @functools.wraps(encode_prompt)
    def encode(**arguments: Any) -> tuple[Any, ...]:
        result: tuple[Any, ...] = ()
        for index, length in enumerate(_LENGTHS.values()):
            chosen = {**arguments, "text_encoder_index": index, "max_sequence_length": length}
            result += tuple(encode_prompt(**chosen))
        return result

    return encode
