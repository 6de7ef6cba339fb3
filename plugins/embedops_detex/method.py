"""DETEX (arXiv 2312.11826, AAAI 2024)."""

from __future__ import annotations

from typing import ClassVar

from embedops.errors import ConfigError
from embedops.learning.method import Method, MethodConfig, Run, Task
from embedops_detex.config import DetexConfig
from embedops_detex.run import DetexRun


class Detex(Method[DetexConfig]):
    """Learns a subject apart from the pose and the background of each training picture.

    The placeholder is shared by all pictures; each also has words of its own, which mappers make
    from its image features. Some prompts describe the whole picture and score all of it, others
    name the subject alone and score its pixels alone. An attention loss pulls subject and pose to
    the foreground and the background's word to the rest. No code was released: mapper depth, loss
    weights, rates, steps and the share of prompts are a reconstruction.

    Prompts name the subject alone, or with the pose or background of training picture N:
    `<toy-pose-N>`, `<toy-background-N>`.

    In the overlay mode keys and values of the cross-attention learn too, as an addition that acts
    at the tokens that name the concept and its parts, which is ours: the paper tunes them for all
    tokens. `remove` takes it away; the user's weights stay.
    """

    name: ClassVar[str] = "detex"
    Config: ClassVar[type[MethodConfig]] = DetexConfig

    def begin(self, task: Task) -> Run:
        if len(task.pictures) < 2:
            raise ConfigError(
                "DETEX tells a subject from poses and backgrounds by comparing pictures, and got "
                "one. Give two or more, or use cross-init."
            )
        return DetexRun(task, self.config)
