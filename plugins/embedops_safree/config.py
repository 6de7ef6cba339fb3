"""SAFREE's settings."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from embedops.presets import ConceptConfig

Variant = Literal["paper", "released"]
Kind = Literal["content", "style"]
Reach = Literal["tokens", "onward"]

_STYLE_PRESETS = "artist-"


class SafreeConfig(ConceptConfig):
    """Settings of `Safree`, besides the concepts to steer away from.

    Attributes:
        variant: `"paper"` or `"released"`. The two differ in the order of the projections and in
            how long the filter holds; see `steering` and `self_validation`.
        alpha: slack of the trigger rule, 0.01 in the paper. Larger: fewer tokens trigger.
        strength: 0 leaves a prompt as it is, 1 replaces its triggering tokens. In between (ours)
            interpolates linearly.
        self_validation: end the filter early where steering changes the prompt little. Off, it
            holds for the whole schedule.
        gamma_fraction: the longest filter that self-validation grants, as a fraction of the
            schedule: the paper's γ = 10 of 50 steps.
        kind: which calibration of the released filter applies, `"content"` or `"style"`. Left
            out, it is `"style"` where every concept is a preset called `artist-…`.
        negative_prompt: append the phrases to the negative prompt too, for the whole schedule and
            for every prompt, as the released scripts do. An effect of its own: with `strength=0`
            it is the only one.
    """

    variant: Variant = "released"
    alpha: float = Field(0.01, ge=0, allow_inf_nan=False)
    strength: float = Field(1.0, ge=0, le=1)
    self_validation: bool = True
    gamma_fraction: float = Field(0.2, gt=0, le=1)
    kind: Kind | None = None
    negative_prompt: bool = False
    reach: Reach = "tokens"
    re_attention: bool = False
    re_attention_scale: float = Field(0.9, ge=0, le=1)
    re_attention_radius: int = Field(1, ge=0)

    @property
    def calibration(self) -> Kind:
        """`kind`, inferred from the concepts where it was left out."""
        if self.kind is not None:
            return self.kind
        named = self.concepts or ()
        styles = named and not self.phrases and all(n.startswith(_STYLE_PRESETS) for n in named)
        return "style" if styles else "content"
