"""Adaptive latent re-attention: what the concepts add to the denoiser's skip features, damped."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from embedops.errors import ConfigError, GuardError
from embedops.features import FeatureEdit, Step, map_batch

_SKIPS = "res_hidden_states_tuple"
_TEXT = "encoder_hidden_states"


@dataclass
class _Open:
    """The step in progress in one thread.

    Attributes:
        rows: the batch's size before rows were added.
        edited: the batch's rows that read steered embeddings.
        blocks: up blocks that have run with their features seen.
    """

    rows: int
    edited: tuple[int, ...]
    blocks: int = 0


class ReAttention(FeatureEdit):
    """SAFREE's latent-level part (arXiv 2410.12761) for UNets.

    On the skip features `h` of every up block, in the Fourier domain: where a low frequency is
    stronger under the steered prompt than under the original one, `|F(h(p_safe))| > |F(h(p))|`, it
    is multiplied by `scale`; all else stays. `h(p)` needs the original prompt in the batch, so
    each row that is steered at a step adds one row to the denoiser's batch for that step alone.

    Ours, because the paper is silent: all up blocks; the bins that count as low; magnitudes are
    compared, bin by bin.

    Args:
        scale: `s`, from 0 to 1; 1 changes nothing.
        radius: bins from frequency zero, in either direction, that count as low.
    """

    def __init__(self, scale: float, radius: int) -> None:
        self._scale = scale
        self._radius = radius
        self._handles: list[Any] = []
        self._blocks = 0
        self._thread = threading.local()

    def apply(self, denoiser: nn.Module) -> None:
        unet = getattr(denoiser, "_orig_mod", denoiser)
        blocks = getattr(unet, "up_blocks", None)
        if not isinstance(blocks, nn.ModuleList) or not all(_takes_skips(b) for b in blocks):
            raise ConfigError(
                f"re-attention edits the skip features of a UNet's up blocks, and "
                f"{type(unet).__name__} has none. Leave `re_attention` off for this pipeline."
            )
        self._blocks = len(blocks)
        # Outside the graph of a compiled UNet: a thread's state cannot be traced.
        damp: Any = torch.compiler.disable(self._damp)  # type: ignore[no-untyped-call]
        self._handles = [
            block.register_forward_pre_hook(damp, with_kwargs=True) for block in blocks
        ]

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def before(self, step: Step, inputs: dict[str, object]) -> dict[str, object]:
        """The inputs with the edited rows added once more, reading the original embeddings.

        Raises:
            GuardError: the batch is none that holds the prompts' positive rows last.
        """
        text = inputs.get(_TEXT)
        size = text.shape[0] if isinstance(text, Tensor) else 0
        if size not in (step.rows, 2 * step.rows):
            raise GuardError(
                f"re-attention expects a batch of {step.rows} rows, or twice that with guidance; "
                f"got {size}. Leave `re_attention` off for this pipeline."
            )
        edited = tuple(size - step.rows + row for row in step.edited_rows)
        self._thread.open = _Open(size, edited)
        return {
            name: _with_rows(value, step.original.get(name, value), size, edited)
            for name, value in inputs.items()
        }

    def after(self, step: Step, output: object) -> object:
        """The output without the added rows.

        Raises:
            GuardError: the hooks did not run, as in a denoiser that was compiled before them.
        """
        opened: _Open = self._thread.open
        self._thread.open = None
        if opened.blocks != self._blocks:
            raise GuardError(
                f"re-attention saw {opened.blocks} of the UNet's {self._blocks} up blocks: a "
                f"compiled denoiser skips hooks that came after it. Attach before compiling, or "
                f"leave `re_attention` off."
            )
        size = opened.rows
        if dataclasses.is_dataclass(output) and not isinstance(output, type):
            sample = output.sample[:size]  # type: ignore[attr-defined]  # every UNet's output
            return dataclasses.replace(output, sample=sample)
        added = size + len(opened.edited)
        return map_batch(output, added, lambda tensor: tensor[:size])

    def abandon(self) -> None:
        self._thread.open = None

    def _damp(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        opened: _Open | None = getattr(self._thread, "open", None)
        if opened is None:
            return None
        skips = kwargs.get(_SKIPS)
        if skips is None:
            raise GuardError(
                f"the UNet passes no {_SKIPS!r} to {type(module).__name__} by name, so "
                f"re-attention cannot act. This version of diffusers passes it in another way."
            )
        opened.blocks += 1
        damped = tuple(self._damped(h, opened) for h in skips)
        return args, {**kwargs, _SKIPS: damped}

    def _damped(self, features: Tensor, opened: _Open) -> Tensor:
        edited = list(opened.edited)
        if features.shape[0] != opened.rows + len(edited):
            raise GuardError(
                f"re-attention expects features of {opened.rows + len(edited)} rows, got "
                f"{features.shape[0]}: this UNet folds frames into its batch. Leave `re_attention` "
                f"off for this pipeline."
            )
        safe, plain = features[edited], features[opened.rows :]
        result = features.clone()
        result[edited] = damp_low_frequencies(safe, plain, self._scale, self._radius)
        return result


def damp_low_frequencies(safe: Tensor, plain: Tensor, scale: float, radius: int) -> Tensor:
    """`safe` with its low frequencies multiplied by `scale` where they exceed those of `plain`.

    The Fourier transform is over the last two dimensions, in float32. The change is added to
    `safe`, so that where nothing exceeds it keeps its bits.

    Args:
        safe: features under the steered prompt, `[rows, channels, height, width]`.
        plain: features under the original prompt, same shape.
        scale: `s`, from 0 to 1.
        radius: bins from frequency zero, in either direction, that count as low.
    """
    ours, theirs = (torch.fft.rfft2(t.float()) for t in (safe, plain))
    height, width = safe.shape[-2:]
    rows = torch.fft.fftfreq(height, 1 / height, device=safe.device).abs() <= radius
    columns = torch.arange(width // 2 + 1, device=safe.device) <= radius
    excess = (ours.abs() > theirs.abs()) & rows[:, None] & columns
    change: Tensor = torch.fft.irfft2(ours * excess * (scale - 1), s=(height, width))
    damped: Tensor = (safe.float() + change).to(safe.dtype)
    return damped


def _takes_skips(block: nn.Module) -> bool:
    return hasattr(block, "resnets") and hasattr(block, "upsamplers")


def _with_rows(value: object, original: object, size: int, edited: tuple[int, ...]) -> object:
    """`value` with rows of `original` added to every tensor of a batch of `size`."""
    if isinstance(value, Tensor):
        if value.ndim == 0 or value.shape[0] != size:
            return value
        source = original if isinstance(original, Tensor) else value
        return torch.cat([value, source[list(edited)].to(value.device, value.dtype)])
    if isinstance(value, Mapping):
        inner = original if isinstance(original, Mapping) else value
        return {k: _with_rows(v, inner.get(k, v), size, edited) for k, v in value.items()}
    return map_batch(value, size, lambda tensor: torch.cat([tensor, tensor[list(edited)]]))
