"""The moving model: the image model with its motion adapter and its reading of motion words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from embedops_emoji.loader import load as load_image_model

if TYPE_CHECKING:
    import torch
    from diffusers import AnimateDiffPipeline


def load(
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    folder: Path | None = None,
) -> AnimateDiffPipeline:
    """Load the embedded text-to-video pipeline, without network access.

    Args:
        device: CUDA if there is any, else the CPU, when omitted.
        dtype: float16 on CUDA and float32 elsewhere, when omitted.
        folder: where the motion adapter and the words are; the shipped ones when omitted.

    Returns:
        An unmodified `AnimateDiffPipeline` for clips of 8 frames, 64x64; 20 steps at guidance 4
        suit it.

    Raises:
        FileNotFoundError: the weights are not installed.
    """
    from diffusers import AnimateDiffPipeline, MotionAdapter
    from safetensors.torch import load_file

    from embedops_emoji.motion.clips import MOTION_WORDS
    from embedops_emoji.motion.parts import (
        ADAPTER_FOLDER,
        CROSS_ATTENTION_FILE,
        EMBEDDINGS_FILE,
        add_words,
        set_projections,
        set_rows,
    )

    home = folder or Path(__file__).parent / "weights"
    if not all((home / name).is_file() for name in (EMBEDDINGS_FILE, CROSS_ATTENTION_FILE)):
        raise FileNotFoundError(
            f"no motion adapter in {home}; reinstall the package, or train one with "
            "`python -m embedops_emoji.motion.train`"
        )
    image = load_image_model(device, dtype)
    adapter = MotionAdapter.from_pretrained(
        home / ADAPTER_FOLDER, dtype=image.dtype, use_safetensors=True, local_files_only=True
    )
    rows = load_file(home / EMBEDDINGS_FILE)
    ids = add_words(image.tokenizer, image.text_encoder, MOTION_WORDS)
    set_rows(image.text_encoder, ids, _stacked(rows, MOTION_WORDS))
    set_projections(image.unet, load_file(home / CROSS_ATTENTION_FILE))
    pipe: AnimateDiffPipeline = AnimateDiffPipeline(
        vae=image.vae,
        text_encoder=image.text_encoder,
        tokenizer=image.tokenizer,
        unet=image.unet,
        motion_adapter=adapter,
        scheduler=image.scheduler,
    )
    return pipe.to(image.device)


def _stacked(rows: dict[str, torch.Tensor], words: tuple[str, ...]) -> torch.Tensor:
    import torch

    return torch.stack([rows[word] for word in words])
