"""How one family of pipelines reads text: what an adapter must answer, and how one is found."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from embedops.errors import EmbedopsError, UnsupportedPipelineError
from embedops.extension import unique_entry_points

if TYPE_CHECKING:  # importing torch takes seconds
    from torch import Tensor

    from embedops.encoders import Encoder
    from embedops.learning.denoising import Denoising
    from embedops.streams import Conditioning

ENTRY_POINTS = "embedops.pipelines"

Side = Literal["positive", "negative"]
Bundle = dict[str, "Tensor | list[Tensor]"]
"""What the denoiser reads of some prompts, by the dotted name of its argument: one row a prompt."""


@dataclass(frozen=True, eq=False)
class Observed:
    """One call of a pipeline's `encode_prompt`, understood.

    Attributes:
        conditioning: the prompts as encoded; None where embeddings were given without a prompt.
        encoder: answers questions with the settings of this call.
        images_per_prompt: rows of the denoiser's batch for each prompt, adjacent.
        unnamed: the other side of the guidance where it came as embeddings without a text. No
            plugin looks at it; it tells the denoiser's calls apart.
    """

    conditioning: Conditioning | None
    encoder: Encoder
    images_per_prompt: int
    unnamed: Conditioning | None = None


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
    """Components that denoise, one of them at each step; those that a pipeline lacks are passed
    over."""
    companions: ClassVar[tuple[str, ...]] = ()
    """Components that read the same text beside the denoiser, before it in each step."""
    encodes_in_parts: ClassVar[bool] = False
    """Whether a call of the pipeline runs `encode_prompt` several times, such as once a side."""
    order: ClassVar[tuple[Side, Side]] = ("negative", "positive")
    """The blocks of the denoiser's batch where guidance is batched. Where a call has one side
    only, the session finds out which by comparing."""
    batch_dims: ClassVar[Mapping[str, int]] = {}
    """The dimension that counts the rows, for tensors of the bundle in which it is not 0."""

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

    def join(self, parts: Sequence[Observed]) -> Observed:
        """The observations of one call as one: the default takes a second as the negative side,
        where one text may stand for all rows."""
        first, *rest = parts
        if not rest or first.conditioning is None:
            return first
        prompts = len(first.conditioning)
        negative, unnamed = (
            side.select([0] * prompts) if side is not None and len(side) == 1 else side
            for side in (rest[0].conditioning, rest[0].unnamed)
        )
        return replace(first, conditioning=first.conditioning.avoiding(negative), unnamed=unnamed)

    @abstractmethod
    def bundle(self, conditioning: Conditioning, inputs: Mapping[str, object]) -> Bundle:
        """What the denoiser reads of `conditioning`: tensors `[batch, ...]`, or lists of a tensor
        a prompt, by the dotted name of the denoiser's argument, such as
        `"added_cond_kwargs.text_embeds"`. They belong together: the session swaps all or none.

        Args:
            conditioning: one side of the guidance.
            inputs: what the pipeline passes to the denoiser by keyword, for what is tied to it.
        """

    def rows_per_prompt(self, name: str, images: int, inputs: Mapping[str, object]) -> int:
        """Adjacent rows of one of the bundle's tensors for each prompt, on one side of the
        guidance: more than pictures where rows are repeated for each frame."""
        return images

    def is_step(self, inputs: Mapping[str, object]) -> bool:
        """Whether a denoiser call that reads the positive side is a step of the schedule. An
        extra pass over the same step is not."""
        return True

    def lengthened(self, inputs: dict[str, object], length: int) -> dict[str, object]:
        """`inputs` with everything that is tied to the text's length made to fit `length` tokens,
        after a text of that length took the place of the pipeline's own."""
        return inputs

    def tokenizers(self) -> Mapping[str, str]:
        """Per text encoder (its component's name) the component that spells for it; needed for
        learned concepts."""
        return {}

    def denoising(self) -> Denoising:
        """The pipeline as the learning loop sees it.

        Raises:
            UnsupportedPipelineError: concepts cannot be learnt with this family yet.
        """
        able = [name for name, cls in adapters().items() if cls.denoising is not Adapter.denoising]
        raise UnsupportedPipelineError(
            f"concepts cannot be learnt with {type(self.pipe).__name__} yet. Families that learn: "
            f"{', '.join(able) or 'none'}."
        )

    def steps(self) -> int:
        """The number of steps of the run in progress."""
        known = getattr(self.pipe, "num_timesteps", None)
        return int(len(self.pipe.scheduler.timesteps) if known is None else known)


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
        f"{served or 'none'}. To add a family, write an adapter (docs/adapters.md) and register it "
        f"as an entry point in {ENTRY_POINTS!r}."
    )
