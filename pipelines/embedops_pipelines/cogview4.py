"""CogView4: one GLM encoder, guidance in calls of its own."""

from __future__ import annotations

from typing import ClassVar

from embedops_pipelines.single_encoder import SingleEncoder
from embedops_pipelines.text_model import States, hidden_state


class CogView4(SingleEncoder):
    """Text-to-image pipelines of CogView4, with and without a control image.

    The denoiser reads the last state but one. Texts are padded on the left, to the longest of the
    batch and then to a multiple of 16, and neither encoder nor denoiser gets a mask: a text's
    states depend on the length of its neighbours, and one that is longer than all of them cannot
    take the place of a single row.
    """

    family: ClassVar[str] = "cogview4"
    pipelines: ClassVar[tuple[str, ...]] = ("CogView4Pipeline", "CogView4ControlPipeline")
    denoisers: ClassVar[tuple[str, ...]] = ("transformer",)
    returns: ClassVar[tuple[str, ...]] = ("embeds", "negative_embeds")
    pads_to_longest: ClassVar[bool] = True

    def states(self) -> States:
        return hidden_state(-2)
