"""HiDream: two CLIP encoders' pooled vectors, a T5, and a Llama in all of its layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from embedops.families import Bundle
from embedops.streams import Conditioning, TextStream
from embedops_pipelines.clip import ClipText
from embedops_pipelines.said import Said
from embedops_pipelines.sequence_text import SequenceText
from embedops_pipelines.text_family import TextFamily
from embedops_pipelines.text_model import TextModel

_CLIPS = ("text_encoder", "text_encoder_2")
_T5, _LLAMA = "text_encoder_3", "text_encoder_4"
_LLAMA_STATES = "encoder_hidden_states_llama3"


class HiDream(TextFamily):
    """Text-to-image pipelines of HiDream.

    Of CLIP the pooled vectors are read, joined; of T5 the states; of Llama the states after every
    layer, `[layers, batch, seq, dim]`, which one stream holds side by side along the features. No
    mask is passed on.
    """

    family: ClassVar[str] = "hidream"
    pipelines: ClassVar[tuple[str, ...]] = ("HiDreamImagePipeline",)
    denoisers: ClassVar[tuple[str, ...]] = ("transformer",)
    batch_dims: ClassVar[Mapping[str, int]] = {_LLAMA_STATES: 1}
    returns: ClassVar[tuple[str, ...]] = (
        "t5",
        "negative_t5",
        "llama",
        "negative_llama",
        "pooled",
        "negative_pooled",
    )

    def text_models(self, lora_scale: float | None) -> Sequence[TextModel]:
        pipe = self.pipe
        return [
            ClipText(pipe, "text_encoder", "tokenizer", lora_scale=lora_scale),
            ClipText(pipe, "text_encoder_2", "tokenizer_2", lora_scale=lora_scale),
            SequenceText(pipe, _T5, "tokenizer_3", lora_scale=lora_scale),
            SequenceText(pipe, _LLAMA, "tokenizer_4", _every_layer, lora_scale),
        ]

    def streams(self, said: Said) -> Sequence[TextStream]:
        widths = [said.models[name].model.config.projection_dim for name in _CLIPS]
        parts = said.values["pooled"].split(widths, dim=-1)
        return [
            *(
                said.stream(name, said.states(name, like=pooled), pooled=pooled)
                for name, pooled in zip(_CLIPS, parts, strict=True)
            ),
            said.stream(_T5, said.values["t5"]),
            said.stream(_LLAMA, _side_by_side(said.values["llama"])),
        ]

    def bundle(self, conditioning: Conditioning, inputs: Mapping[str, object]) -> Bundle:
        llama = conditioning.stream(_LLAMA).embeds
        layers = self.pipe.text_encoder_4.config.num_hidden_layers
        return {
            "encoder_hidden_states_t5": conditioning.stream(_T5).embeds,
            _LLAMA_STATES: llama.view(*llama.shape[:2], layers, -1).permute(2, 0, 1, 3),
            "pooled_embeds": torch.cat(
                [conditioning.stream(name).pooled_vector for name in _CLIPS], dim=-1
            ),
        }

    def _one_a_prompt(self, name: str, value: Any, images: int) -> Any:
        if value is not None and name.endswith("llama"):
            return value[:, ::images]
        return super()._one_a_prompt(name, value, images)


def _every_layer(output: Any) -> Tensor:
    return _side_by_side(torch.stack(output.hidden_states[1:]))


def _side_by_side(layers: Tensor) -> Tensor:
    """`[layers, batch, seq, dim]` as `[batch, seq, layers · dim]`."""
    return layers.permute(1, 2, 0, 3).flatten(2)
