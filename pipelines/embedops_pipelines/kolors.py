"""Kolors: a ChatGLM encoder, its last state as the pooled vector, guidance in one batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor

from embedops.families import Bundle
from embedops.streams import Conditioning, TextStream
from embedops_pipelines.said import Said
from embedops_pipelines.single_encoder import NAME, SingleEncoder
from embedops_pipelines.text_model import States


class Kolors(SingleEncoder):
    """Text-to-image and image-to-image pipelines of Kolors.

    ChatGLM gives its states as `[seq, batch, dim]`, and texts are padded on the left: so the last
    position of the last layer sums a text up, and is what the UNet reads as the pooled vector
    beside the states of the layer before. Padding is read as well, for there is no mask.
    """

    family: ClassVar[str] = "kolors"
    pipelines: ClassVar[tuple[str, ...]] = ("KolorsPipeline", "KolorsImg2ImgPipeline")
    denoisers: ClassVar[tuple[str, ...]] = ("unet",)
    returns: ClassVar[tuple[str, ...]] = ("embeds", "negative_embeds", "pooled", "negative_pooled")

    def states(self) -> States:
        return _batch_first

    def streams(self, said: Said) -> Sequence[TextStream]:
        return [said.stream(NAME, said.values["embeds"], pooled=said.values["pooled"])]

    def bundle(self, conditioning: Conditioning, inputs: Mapping[str, object]) -> Bundle:
        stream = conditioning.stream(NAME)
        return {
            "encoder_hidden_states": stream.embeds,
            "added_cond_kwargs.text_embeds": stream.pooled_vector,
        }


def _batch_first(output: Any) -> Tensor:
    states: Tensor = output.hidden_states[-2].transpose(0, 1)
    return states
