"""Sana, Sana-Sprint and Sana-Video: one Gemma 2 encoder behind an instruction."""

from __future__ import annotations

from typing import ClassVar

from embedops_pipelines.single_encoder import SingleEncoder


class Sana(SingleEncoder):
    """Pipelines of the Sana line with guidance, for images and for video.

    A long instruction stands before the prompt and not before the negative prompt; of its states
    the denoiser reads BOS and the last token or two. The caption is put in lower case. Guidance
    comes in one batch, and a ControlNet reads the text as well.
    """

    family: ClassVar[str] = "sana"
    pipelines: ClassVar[tuple[str, ...]] = (
        "SanaPipeline",
        "SanaControlNetPipeline",
        "SanaVideoPipeline",
        "SanaImageToVideoPipeline",
    )
    denoisers: ClassVar[tuple[str, ...]] = ("transformer",)
    companions: ClassVar[tuple[str, ...]] = ("controlnet",)
    returns: ClassVar[tuple[str, ...]] = ("embeds", "mask", "negative_embeds", "negative_mask")
    templated: ClassVar[bool] = True
    template_settings: ClassVar[tuple[str, ...]] = ("complex_human_instruction",)
    tiled: ClassVar[tuple[str, ...]] = ("mask",)
    mask_argument: ClassVar[str | None] = "encoder_attention_mask"


class SanaSprint(Sana):
    """Sana-Sprint, which is distilled: guidance is a number that the denoiser reads, and there is
    no negative prompt."""

    family: ClassVar[str] = "sana-sprint"
    pipelines: ClassVar[tuple[str, ...]] = ("SanaSprintPipeline", "SanaSprintImg2ImgPipeline")
    returns: ClassVar[tuple[str, ...]] = ("embeds", "mask")
