"""How one family of pipelines reads text: what an adapter must answer, and how one is found."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from embedops.errors import EmbedopsError, UnsupportedPipelineError
from embedops.extension import unique_entry_points

if TYPE_CHECKING:  # importing torch takes seconds
    from torch import Tensor

    from embedops.encoders import Encoder
    from embedops.streams import Conditioning

ENTRY_POINTS = "embedops.pipelines"


@dataclass(frozen=True, eq=False)
class Observed:
    """One call of a pipeline's `encode_prompt`, understood.

    Attributes:
        conditioning: the prompts as encoded; None where embeddings were given without a prompt.
        encoder: answers questions with the settings of this call.
        images_per_prompt: rows of the denoiser's batch for each prompt, adjacent.
    """

    conditioning: Conditioning | None
    encoder: Encoder
    images_per_prompt: int


class Adapter(ABC):
    """One pipeline object, seen as a member of its family.

    A subclass is one module and one entry point in `embedops.pipelines`. Nothing in it edits
    embeddings: it says what the pipeline encoded, how to encode more, and under which names the
    denoiser reads the result.
    """

    family: ClassVar[str]
    pipelines: ClassVar[tuple[str, ...]]
    """Class names of the diffusers pipelines that it serves; their subclasses are served too."""
    denoisers: ClassVar[tuple[str, ...]]
    """Components that read the text, the one whose calls count the steps first."""

    def __init__(self, pipe: Any) -> None:
        self.pipe = pipe

    @classmethod
    def matches(cls, pipe: object) -> bool:
        """Whether this adapter serves `pipe`."""
        return any(base.__name__ in cls.pipelines for base in type(pipe).__mro__)

    @abstractmethod
    def encoder(self) -> Encoder:
        """The text encoders with the pipeline's default settings, outside of any call."""

    @abstractmethod
    def observe(
        self, encode_prompt: Callable[..., object], arguments: Mapping[str, Any]
    ) -> tuple[object, Observed]:
        """Run the pipeline's own `encode_prompt` and understand what it did.

        Returns its result untouched, and the `Observed` call.
        """

    @abstractmethod
    def bundle(self, conditioning: Conditioning) -> dict[str, Tensor]:
        """What the denoiser reads of `conditioning`: tensors `[batch, ...]` by the dotted name of
        the denoiser's argument, such as `"added_cond_kwargs.text_embeds"`. They belong together:
        the session swaps all of them or none."""

    def halves(self, rows: int, prompts: int) -> tuple[str, ...]:
        """What the blocks of a denoiser batch of `rows` are, for `prompts` rows of prompts.

        The default fits guidance that is batched as `[negative; positive]` or off.
        """
        if rows == prompts:
            return ("positive",)
        if rows == 2 * prompts:
            return ("negative", "positive")
        return ()

    def steps(self) -> int:
        """The number of denoiser calls of the run in progress."""
        return int(self.pipe.num_timesteps)


def adapters() -> dict[str, type[Adapter]]:
    """Every installed adapter by family."""
    found: dict[str, type[Adapter]] = {}
    for name, point in sorted(unique_entry_points(ENTRY_POINTS).items()):
        cls = point.load()
        if not (isinstance(cls, type) and issubclass(cls, Adapter)):
            raise EmbedopsError(
                f"entry point {name!r} in {ENTRY_POINTS!r} gives {cls!r}, which is no subclass of "
                f"embedops.Adapter. Point it at the adapter class."
            )
        found[name] = cls
    return found


def adapter_for(pipe: object) -> Adapter:
    """The adapter that serves `pipe`.

    Raises:
        UnsupportedPipelineError: no installed adapter knows the pipeline's class.
    """
    known = adapters()
    for cls in known.values():
        if cls.matches(pipe):
            return cls(pipe)
    served = "; ".join(f"{name}: {', '.join(cls.pipelines)}" for name, cls in known.items())
    raise UnsupportedPipelineError(
        f"no adapter knows pipelines of class {type(pipe).__name__}. Supported: "
        f"{served or 'none'}. To add a family, subclass embedops.Adapter and register it as an "
        f"entry point in {ENTRY_POINTS!r}."
    )
