"""The parts that make the image model move: the motion adapter and the words for motions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from diffusers import MotionAdapter
from tokenizers import AddedToken
from torch import Tensor, nn

from embedops_emoji.motion.clips import FRAMES

CROSS_ATTENTION_FILE = "cross_attention.safetensors"
"""The denoiser's projections of the text, by the names that its state dict gives them."""
EMBEDDINGS_FILE = "motion_words.safetensors"
"""Embeddings of the motion words, `{word: [128]}`, in diffusers' textual-inversion format."""
ADAPTER_FOLDER = "motion_adapter"


def build_adapter() -> MotionAdapter:
    """An untrained adapter: temporal attention where the image model works at 16x16 and 8x8.

    Its output layers start at zero, so that it first leaves every frame to the image model.
    """
    adapter = MotionAdapter(
        block_out_channels=(64, 128, 192),
        motion_layers_per_block=1,
        motion_transformer_layers_per_block=(1, 1, 0),
        motion_num_attention_heads=4,
        motion_norm_num_groups=16,
        motion_max_seq_length=FRAMES,
        use_motion_mid_block=False,
    )
    for name, module in adapter.named_modules():
        if name.endswith("proj_out") and isinstance(module, nn.Linear):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
    return adapter


def text_projections(unet: nn.Module) -> dict[str, nn.Module]:
    """The keys' and values' projections of every cross-attention, by their place in `unet`.

    Frozen ones tell a moving object from a still one, and no more: which way it moves is lost on
    them, whatever the words' embeddings.
    """
    return {
        name: module
        for name, module in unet.named_modules()
        if name.endswith(("attn2.to_k", "attn2.to_v")) and "motion_modules" not in name
    }


def add_words(tokenizer: Any, text_encoder: Any, words: Sequence[str]) -> list[int]:
    """Make each of `words` one token with a new row of the embedding table; their ids.

    Raises:
        ValueError: the tokenizer knows one of them already.
    """
    known = tokenizer.get_vocab()
    taken = [word for word in words if word in known]
    if taken:
        raise ValueError(f"the tokenizer has the tokens {taken} already")
    tokenizer.add_tokens([AddedToken(word, single_word=True, normalized=True) for word in words])
    # Ids above the last known one: the table is as long as they need, no shorter.
    ids = [int(i) for i in tokenizer.convert_tokens_to_ids(list(words))]
    table = text_encoder.get_input_embeddings()
    if max(ids) >= table.num_embeddings:
        text_encoder.resize_token_embeddings(max(ids) + 1, mean_resizing=False)
    return ids


@torch.no_grad()
def set_rows(text_encoder: Any, ids: Sequence[int], rows: Tensor) -> None:
    """Put `rows` `[len(ids), dim]` into the embedding table."""
    table: Tensor = text_encoder.get_input_embeddings().weight
    table[list(ids)] = rows.to(table.device, table.dtype)


@torch.no_grad()
def set_projections(unet: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Put learnt weights into the denoiser's projections of the text.

    Args:
        unet: the image model's own, or the moving one made from it.
        weights: by name, as `text_projections` names the modules, with `.weight` at the end.

    Raises:
        ValueError: they are not those of this denoiser.
    """
    modules = text_projections(unet)
    if weights.keys() != {f"{name}.weight" for name in modules}:
        raise ValueError(
            f"the weights are for {sorted(weights)}, and this denoiser has {sorted(modules)}"
        )
    for name, module in modules.items():
        weight: Tensor = module.get_parameter("weight")
        weight.copy_(weights[f"{name}.weight"].to(weight.device, weight.dtype))
