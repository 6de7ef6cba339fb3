"""Qwen-Image: one Qwen2.5-VL encoder behind a chat template, guidance in calls of its own."""

from __future__ import annotations

from typing import ClassVar

from embedops_pipelines.single_encoder import SingleEncoder
from embedops_pipelines.text_model import States, hidden_state


class QwenImage(SingleEncoder):
    """Text-to-image, image-to-image, inpainting and ControlNet pipelines of Qwen-Image.

    The system prompt is cut off the states, the user's turn and what follows it are kept. Each
    side is encoded by itself to a length of its own, and there is guidance only where a negative
    prompt is given. Where no row has padding the mask is left out. The ControlNet runs once a
    step, on the positive side.
    """

    family: ClassVar[str] = "qwen-image"
    pipelines: ClassVar[tuple[str, ...]] = (
        "QwenImagePipeline",
        "QwenImageImg2ImgPipeline",
        "QwenImageInpaintPipeline",
        "QwenImageControlNetPipeline",
        "QwenImageControlNetInpaintPipeline",
    )
    denoisers: ClassVar[tuple[str, ...]] = ("transformer",)
    companions: ClassVar[tuple[str, ...]] = ("controlnet",)
    encodes_in_parts: ClassVar[bool] = True
    returns: ClassVar[tuple[str, ...]] = ("embeds", "mask")
    templated: ClassVar[bool] = True
    tiled: ClassVar[tuple[str, ...]] = ("mask",)
    mask_argument: ClassVar[str | None] = "encoder_hidden_states_mask"

    def states(self) -> States:
        return hidden_state(-1)
