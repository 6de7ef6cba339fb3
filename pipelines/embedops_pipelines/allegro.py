"""Allegro: one T5 encoder with a mask, guidance in one batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from embedops.families import Bundle
from embedops.streams import Conditioning
from embedops_pipelines.single_encoder import NAME, SingleEncoder


class Allegro(SingleEncoder):
    """Text-to-video pipelines of Allegro, which read the states `[batch, 1, seq, dim]`."""

    family: ClassVar[str] = "allegro"
    pipelines: ClassVar[tuple[str, ...]] = ("AllegroPipeline",)
    denoisers: ClassVar[tuple[str, ...]] = ("transformer",)
    returns: ClassVar[tuple[str, ...]] = ("embeds", "mask", "negative_embeds", "negative_mask")

    def bundle(self, conditioning: Conditioning, inputs: Mapping[str, object]) -> Bundle:
        stream = conditioning.stream(NAME)
        return {
            "encoder_hidden_states": stream.embeds[:, None],
            "encoder_attention_mask": stream.mask_or_ones,
        }
