"""AuraFlow: one UMT5 encoder whose padding is set to zero, guidance in one batch."""

from __future__ import annotations

from typing import ClassVar

from embedops_pipelines.single_encoder import SingleEncoder


class AuraFlow(SingleEncoder):
    """Text-to-image pipelines of AuraFlow.

    The mask is applied to the states and not passed on.
    """

    family: ClassVar[str] = "aura-flow"
    pipelines: ClassVar[tuple[str, ...]] = ("AuraFlowPipeline",)
    denoisers: ClassVar[tuple[str, ...]] = ("transformer",)
    returns: ClassVar[tuple[str, ...]] = ("embeds", "_", "negative_embeds", "_")
