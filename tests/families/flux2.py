"""Flux 2 pipelines of a few thousand parameters: a language model of many thin layers and a
transformer."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import (
    AutoencoderKLFlux2,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinInpaintPipeline,
    Flux2KleinKVPipeline,
    Flux2KleinPipeline,
    Flux2Pipeline,
    Flux2Transformer2DModel,
)
from families.tokenizers import llm_tokenizer
from families.weights import fill_zeros
from transformers import (
    Mistral3Config,
    Mistral3ForConditionalGeneration,
    MistralConfig,
    PixtralVisionConfig,
    ProcessorMixin,
    Qwen3Config,
    Qwen3ForCausalLM,
)

TEXT_DIM = 8
_PICTURE_TOKENS = ("[IMG]", "[IMG_BREAK]", "[IMG_END]")


class TextProcessor(ProcessorMixin):
    """A processor around a tokenizer alone: the pipeline's own prepares pictures too, and needs
    torchvision for them."""

    def __init__(self, tokenizer: Any = None) -> None:
        super().__init__(tokenizer, chat_template=tokenizer.chat_template)


def flux2(seed: int = 0) -> Any:
    """A Flux2Pipeline, whose processor pads on the left, with a short system message."""
    torch.manual_seed(seed)
    tokenizer = llm_tokenizer(
        bos="<s>", adds_bos=True, padding_side="left", special=_PICTURE_TOKENS
    )
    text = MistralConfig(**_sizes(tokenizer, 30), sliding_window=None)
    vision = PixtralVisionConfig(
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        image_size=28,
        patch_size=14,
    )
    text_encoder = Mistral3ForConditionalGeneration(
        Mistral3Config(
            text_config=text,
            vision_config=vision,
            image_token_index=tokenizer.convert_tokens_to_ids(_PICTURE_TOKENS[0]),
        )
    )
    parts = _components(text_encoder, TextProcessor(tokenizer), guidance_embeds=True)
    pipe = _quiet(Flux2Pipeline(**parts))
    pipe.system_message = "the picture"  # the words of its own would be spelt in 200 tokens
    return pipe


def flux2_klein(seed: int = 0) -> Any:
    """A Flux2KleinPipeline."""
    return _klein(Flux2KleinPipeline, seed)


def flux2_klein_inpaint(seed: int = 0) -> Any:
    """A Flux2KleinInpaintPipeline."""
    return _klein(Flux2KleinInpaintPipeline, seed)


def flux2_klein_kv(seed: int = 0) -> Any:
    """A Flux2KleinKVPipeline, which keeps a reference picture's keys and values."""
    return _klein(Flux2KleinKVPipeline, seed)


def _klein(cls: Any, seed: int) -> Any:
    torch.manual_seed(seed)
    tokenizer = llm_tokenizer()
    text_encoder = Qwen3ForCausalLM(Qwen3Config(**_sizes(tokenizer, 27)))
    return _quiet(cls(**_components(text_encoder, tokenizer, guidance_embeds=False)))


def _sizes(tokenizer: Any, layers: int) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": TEXT_DIM,
        "intermediate_size": 16,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "head_dim": 4,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "initializer_range": 0.3,
    }


def _components(text_encoder: Any, tokenizer: Any, *, guidance_embeds: bool) -> dict[str, Any]:
    transformer = Flux2Transformer2DModel(
        in_channels=4,
        num_layers=2,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=3 * TEXT_DIM,
        timestep_guidance_channels=16,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=guidance_embeds,
    )
    fill_zeros(transformer)
    vae = AutoencoderKLFlux2(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=1,
        latent_channels=1,
        norm_num_groups=4,
        sample_size=16,
    )
    return {
        "tokenizer": tokenizer,
        "text_encoder": text_encoder.eval(),
        "transformer": transformer.eval(),
        "vae": vae.eval(),
        "scheduler": FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
    }


def _quiet(pipe: Any) -> Any:
    pipe.set_progress_bar_config(disable=True)
    return pipe
