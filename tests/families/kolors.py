"""Kolors pipelines of a few thousand parameters: a ChatGLM encoder with a sentencepiece tokenizer
trained on the spot, and an SDXL-like UNet."""

from __future__ import annotations

import functools
import io
import tempfile
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    KolorsImg2ImgPipeline,
    KolorsPipeline,
    UNet2DConditionModel,
)
from diffusers.pipelines.kolors.text_encoder import ChatGLMConfig, ChatGLMModel
from diffusers.pipelines.kolors.tokenizer import ChatGLMTokenizer
from families.weights import fill_zeros
from tiny import WORDS

TEXT_DIM = 16


def kolors(seed: int = 0) -> Any:
    """A KolorsPipeline."""
    return _pipeline(KolorsPipeline, seed)


def kolors_img2img(seed: int = 0) -> Any:
    """A KolorsImg2ImgPipeline."""
    return _pipeline(KolorsImg2ImgPipeline, seed)


def chatglm_tokenizer() -> ChatGLMTokenizer:
    """A ChatGLMTokenizer that knows `tiny.WORDS`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tokenizer.model"
        path.write_bytes(_spelling())
        return ChatGLMTokenizer(str(path), model_max_length=256)


@functools.cache
def _spelling() -> bytes:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([" ".join(WORDS)]),
        model_writer=model,
        vocab_size=600,
        hard_vocab_limit=False,
        model_type="bpe",
        minloglevel=2,
    )
    return model.getvalue()


def _pipeline(cls: Any, seed: int) -> Any:
    torch.manual_seed(seed)
    tokenizer = chatglm_tokenizer()
    text_encoder = ChatGLMModel(
        ChatGLMConfig(
            num_layers=3,
            padded_vocab_size=tokenizer.vocab_size,
            hidden_size=TEXT_DIM,
            ffn_hidden_size=32,
            kv_channels=8,
            num_attention_heads=2,
            multi_query_attention=True,
            multi_query_group_num=1,
            add_qkv_bias=True,
            seq_length=256,
            original_rope=True,
        ),
        empty_init=False,
    )
    for name, parameter in text_encoder.named_parameters():
        # Upstream leaves its norms as the memory was.
        if "norm" in name:
            torch.nn.init.ones_(parameter)
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(2, 4),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        transformer_layers_per_block=(1, 1),
        projection_class_embeddings_input_dim=TEXT_DIM + 6 * 8,
        cross_attention_dim=12,
        encoder_hid_dim=TEXT_DIM,
        encoder_hid_dim_type="text_proj",
    )
    fill_zeros(unet)
    vae = AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=4,
    )
    pipe = cls(
        vae=vae.eval(),
        text_encoder=text_encoder.eval(),
        tokenizer=tokenizer,
        unet=unet.eval(),
        scheduler=EulerDiscreteScheduler(beta_schedule="scaled_linear", steps_offset=1),
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe
