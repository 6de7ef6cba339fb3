"""One pipeline to test, and how to call it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

WORDS = "a photo of pistol cat dog on the table beach red".split()

PISTOL, CAT = "a photo of a pistol", "a photo of a cat"
DOG = "a dog on the table"
LONGER = "a red cat on a table of the beach"


@dataclass(frozen=True, eq=False)
class Case:
    """One pipeline and how to call it.

    Attributes:
        name: what the tests call it: the pipeline's class, as a rule.
        build: makes the pipeline, the same weights at every call, in evaluation mode.
        inputs: arguments of every call beside the prompt, such as the size.
        guided: arguments that switch guidance on; empty where the model has none.
        unguided: arguments that switch it off.
        negative: whether it takes negative prompts.
        images: the argument for several pictures or videos a prompt; None where it has none.
        per_row: arguments that are lists of one entry a prompt, given here as that entry.
        steps: denoising steps of a call.
        tolerance: largest difference where bits may differ: another batch size, another length.
        skip: by name of a test why upstream cannot do what it asks.
    """

    name: str
    build: Callable[[], Any]
    inputs: Mapping[str, Any] = field(default_factory=dict)
    guided: Mapping[str, Any] = field(default_factory=lambda: {"guidance_scale": 4.0})
    unguided: Mapping[str, Any] = field(default_factory=lambda: {"guidance_scale": 1.0})
    negative: bool = True
    images: str | None = "num_images_per_prompt"
    per_row: tuple[str, ...] = ()
    steps: int = 3
    tolerance: float = 1e-4
    skip: Mapping[str, str] = field(default_factory=dict)

    def run(self, pipe: Any, prompts: Sequence[str], **settings: Any) -> Tensor:
        """One call with fixed noise: latents `[rows, ...]` in float32."""
        rows = len(prompts) * settings.get(self.images or "", 1)
        inputs = {**self.inputs, **self.guided, **settings}
        # Some pipelines write into the lists that they are given.
        inputs = {k: list(v) if isinstance(v, list) else v for k, v in inputs.items()}
        repeated = [name for name in self.per_row if name not in settings]
        inputs |= {name: [inputs[name]] * len(prompts) for name in repeated}
        output = pipe(
            prompt=list(prompts),
            num_inference_steps=self.steps,
            generator=[torch.Generator().manual_seed(seed) for seed in range(rows)],
            output_type="latent",
            **inputs,
        )
        drawn = output[0]
        return torch.as_tensor(drawn).float().cpu()
