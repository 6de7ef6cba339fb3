"""Stable Diffusion 3: two CLIP encoders side by side, then a T5, and a pooled vector of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from embedops.families import Bundle
from embedops.learning.denoising import Denoising
from embedops.streams import Conditioning, TextStream
from embedops_pipelines.clip import ClipText
from embedops_pipelines.flow_denoising import StableDiffusion3Denoising
from embedops_pipelines.said import Said
from embedops_pipelines.sequence_text import SequenceText
from embedops_pipelines.text_family import TextFamily
from embedops_pipelines.text_model import TextModel

_CLIPS = ("text_encoder", "text_encoder_2")
_T5 = "text_encoder_3"


class StableDiffusion3(TextFamily):
    """Text-to-image, image-to-image, inpainting and ControlNet pipelines of SD 3 and 3.5.

    The CLIP states are joined along the features, filled up with zeros to T5's width, and stand
    before T5's in the sequence; the projected vectors of both are joined to the pooled one. T5
    gets no mask, and may be left out, where zeros take its place. Skip-layer guidance calls the
    denoiser a third time in a step, on the positive side. Some ControlNets read no states, or
    zeros in the place of the pooled vector.
    """

    family: ClassVar[str] = "stable-diffusion-3"
    pipelines: ClassVar[tuple[str, ...]] = (
        "StableDiffusion3Pipeline",
        "StableDiffusion3Img2ImgPipeline",
        "StableDiffusion3InpaintPipeline",
        "StableDiffusion3ControlNetPipeline",
        "StableDiffusion3ControlNetInpaintingPipeline",
    )
    denoisers: ClassVar[tuple[str, ...]] = ("transformer",)
    companions: ClassVar[tuple[str, ...]] = ("controlnet",)
    returns: ClassVar[tuple[str, ...]] = (
        "embeds",
        "negative_embeds",
        "pooled",
        "negative_pooled",
    )

    def text_models(self, lora_scale: float | None) -> Sequence[TextModel]:
        models: list[TextModel] = [
            ClipText(
                self.pipe,
                name,
                name.replace("text_encoder", "tokenizer"),
                skip=1,
                lora_scale=lora_scale,
            )
            for name in _CLIPS
        ]
        if getattr(self.pipe, _T5) is not None:
            models.append(SequenceText(self.pipe, _T5, "tokenizer_3", lora_scale=lora_scale))
        return models

    def denoising(self) -> Denoising:
        return StableDiffusion3Denoising(self.pipe)

    def streams(self, said: Said) -> Sequence[TextStream]:
        embeds, pooled = said.values["embeds"], said.values["pooled"]
        length = self._clip_length()
        streams, across, within = [], 0, 0
        for name in _CLIPS:
            config = said.models[name].model.config
            wide, projected = config.hidden_size, config.projection_dim
            streams.append(
                said.stream(
                    name,
                    embeds[:, :length, across : across + wide],
                    pooled=pooled[:, within : within + projected],
                )
            )
            across, within = across + wide, within + projected
        if _T5 in said.models:
            streams.append(said.stream(_T5, embeds[:, length:]))
        return streams

    def bundle(self, conditioning: Conditioning, inputs: Mapping[str, object]) -> Bundle:
        clips = [conditioning.stream(name) for name in _CLIPS]
        first = torch.cat([s.embeds for s in clips], dim=-1)
        rest = [s.embeds for s in conditioning.streams if s.name == _T5]
        rest = rest or [self._no_t5(first, inputs)]
        wide = rest[0].shape[-1]
        return {
            "encoder_hidden_states": torch.cat(
                [pad(first, (0, wide - first.shape[-1])), *rest], dim=1
            ),
            "pooled_projections": torch.cat([s.pooled_vector for s in clips], dim=-1),
        }

    def is_step(self, inputs: Mapping[str, object]) -> bool:
        return inputs.get("skip_layers") is None

    def _clip_length(self) -> int:
        return int(self.pipe.tokenizer_max_length)

    def _no_t5(self, clips: Tensor, inputs: Mapping[str, Any]) -> Tensor:
        """The zeros that stand where T5 would: as long and wide as the pipeline makes them."""
        whole = inputs["encoder_hidden_states"]
        if whole is None:  # a ControlNet without states comes before the transformer
            long, wide = clips.shape[1] + self._clip_length(), self._width()
        else:
            long, wide = whole.shape[1], whole.shape[2]
        return clips.new_zeros(clips.shape[0], long - clips.shape[1], wide)

    def _width(self) -> int:
        return int(self.pipe.transformer.config.joint_attention_dim)
