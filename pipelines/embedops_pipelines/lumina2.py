"""Lumina 2: one Gemma 2 encoder behind a system prompt, guidance in calls of its own."""

from __future__ import annotations

from typing import ClassVar

from embedops_pipelines.single_encoder import SingleEncoder
from embedops_pipelines.text_model import States, hidden_state


class Lumina2(SingleEncoder):
    """The text-to-image pipeline of Lumina 2.

    The denoiser reads the last state but one of the system prompt and the prompt together; the
    negative prompt has no system prompt before it. With `cfg_trunc_ratio` the last steps run
    without the negative side.
    """

    family: ClassVar[str] = "lumina2"
    pipelines: ClassVar[tuple[str, ...]] = ("Lumina2Pipeline",)
    denoisers: ClassVar[tuple[str, ...]] = ("transformer",)
    returns: ClassVar[tuple[str, ...]] = ("embeds", "mask", "negative_embeds", "negative_mask")
    templated: ClassVar[bool] = True
    template_settings: ClassVar[tuple[str, ...]] = ("system_prompt",)
    tiled: ClassVar[tuple[str, ...]] = ("mask",)
    mask_argument: ClassVar[str | None] = "encoder_attention_mask"

    def states(self) -> States:
        return hidden_state(-2)
