"""LTX-2: Gemma in all of its layers, pushed through connectors for picture and for sound."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from embedops.families import Bundle
from embedops.streams import Conditioning
from embedops_pipelines.single_encoder import NAME, SingleEncoder
from embedops_pipelines.text_model import States


class Ltx2(SingleEncoder):
    """Text-to-video and image-to-video pipelines of LTX-2, with sound.

    The stream holds the states after every layer side by side along the features, as
    `encode_prompt` returns them. The connectors turn them into what the transformer's two branches
    read; padding becomes learnt registers on the way. Besides guidance there may be two further
    calls in a step, which perturb the transformer and read the positive side. The prompt enhancer,
    where it is on, writes the text before it is encoded, so what it wrote is examined.
    """

    family: ClassVar[str] = "ltx2"
    pipelines: ClassVar[tuple[str, ...]] = ("LTX2Pipeline", "LTX2ImageToVideoPipeline")
    denoisers: ClassVar[tuple[str, ...]] = ("transformer",)
    returns: ClassVar[tuple[str, ...]] = ("embeds", "mask", "negative_embeds", "negative_mask")
    tiled: ClassVar[tuple[str, ...]] = ("mask",)

    def states(self) -> States:
        return _every_layer

    @torch.no_grad()
    def bundle(self, conditioning: Conditioning, inputs: Mapping[str, object]) -> Bundle:
        stream = conditioning.stream(NAME)
        read = inputs["encoder_hidden_states"]
        # The connectors ran on the whole batch, guidance included. Kernels round by the number of
        # rows, so that bits agree only with as many.
        count, rows = len(stream), read.shape[0] if isinstance(read, Tensor) else len(stream)
        filled = torch.arange(rows, device=stream.embeds.device) % count
        picture, sound, mask = self.pipe.connectors(
            stream.embeds[filled],
            stream.mask_or_ones[filled],
            padding_side=self.pipe.tokenizer.padding_side,
        )
        return {
            "encoder_hidden_states": picture[:count],
            "audio_encoder_hidden_states": sound[:count],
            "encoder_attention_mask": mask[:count],
            "audio_encoder_attention_mask": mask[:count],
        }

    def is_step(self, inputs: Mapping[str, object]) -> bool:
        perturbed = inputs.get("spatio_temporal_guidance_blocks") is not None
        return not perturbed and not inputs.get("isolate_modalities")


def _every_layer(output: Any) -> Tensor:
    return torch.stack(output.hidden_states, dim=-1).flatten(2)
