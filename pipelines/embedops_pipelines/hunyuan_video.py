"""HunyuanVideo: a Llama behind a chat template, CLIP's pooled vector, distilled guidance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from embedops.families import Bundle
from embedops.streams import Conditioning, TextStream
from embedops_pipelines.clip import ClipText
from embedops_pipelines.said import Said
from embedops_pipelines.sequence_text import SequenceText
from embedops_pipelines.text_family import TextFamily
from embedops_pipelines.text_model import TextModel, hidden_state


class HunyuanVideo(TextFamily):
    """Text-to-video pipelines of HunyuanVideo.

    Llama is read three layers before the end, behind the template's first part, which is cut off;
    of CLIP the pooled vector alone. Guidance is distilled; with `true_cfg_scale` above 1 the
    negative side is encoded and denoised by calls of its own. Upstream gives CLIP the first prompt
    whatever `prompt_2` says.
    """

    family: ClassVar[str] = "hunyuan-video"
    pipelines: ClassVar[tuple[str, ...]] = ("HunyuanVideoPipeline",)
    denoisers: ClassVar[tuple[str, ...]] = ("transformer",)
    encodes_in_parts: ClassVar[bool] = True
    templated: ClassVar[bool] = True
    template_settings: ClassVar[tuple[str, ...]] = ("prompt_template",)
    returns: ClassVar[tuple[str, ...]] = ("embeds", "pooled", "mask")

    def text_models(self, lora_scale: float | None) -> Sequence[TextModel]:
        states = hidden_state(-3)
        return [
            SequenceText(self.pipe, "text_encoder", "tokenizer", states, lora_scale),
            ClipText(self.pipe, "text_encoder_2", "tokenizer_2", lora_scale=lora_scale),
        ]

    def streams(self, said: Said) -> Sequence[TextStream]:
        pooled = said.values["pooled"]
        states = said.states("text_encoder_2", like=pooled)
        return [
            said.stream("text_encoder", said.values["embeds"], mask=said.values["mask"]),
            said.stream("text_encoder_2", states, pooled=pooled),
        ]

    def bundle(self, conditioning: Conditioning, inputs: Mapping[str, object]) -> Bundle:
        stream = conditioning.stream("text_encoder")
        return {
            "encoder_hidden_states": stream.embeds,
            "encoder_attention_mask": stream.mask_or_ones,
            "pooled_projections": conditioning.stream("text_encoder_2").pooled_vector,
        }
