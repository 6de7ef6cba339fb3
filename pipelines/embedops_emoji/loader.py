"""Where the shipped weights are, and how to get a pipeline from them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from diffusers import StableDiffusionPipeline


def model_path() -> Path:
    """The shipped model folder, in diffusers format."""
    return Path(__file__).parent / "weights"


def load(
    device: str | torch.device | None = None, dtype: torch.dtype | None = None
) -> StableDiffusionPipeline:
    """Load the embedded pipeline, without network access.

    Args:
        device: CUDA if there is any, else the CPU, when omitted.
        dtype: float16 on CUDA and float32 elsewhere, when omitted.

    Returns:
        An unmodified `StableDiffusionPipeline` for 64x64 pictures; 20 steps at guidance 4 suit it.

    Raises:
        FileNotFoundError: the weights are not installed.
    """
    import torch
    from diffusers import StableDiffusionPipeline

    folder = model_path()
    if not (folder / "model_index.json").is_file():
        raise FileNotFoundError(
            f"no model in {folder}; reinstall the package, or train one with "
            "`python -m embedops_emoji.train`"
        )
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(device)
    if dtype is None:
        dtype = torch.float16 if device.type == "cuda" else torch.float32
    pipe: StableDiffusionPipeline = StableDiffusionPipeline.from_pretrained(
        folder, dtype=dtype, use_safetensors=True, local_files_only=True
    )
    pipe.register_to_config(_name_or_path="emoji")  # not where it lies on this machine
    return pipe.to(device)
