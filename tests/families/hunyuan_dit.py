"""A HunyuanDiT pipeline of a few thousand parameters: a BERT, a T5 and a transformer."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import DDPMScheduler, HunyuanDiT2DModel, HunyuanDiTPipeline
from families.stable_diffusion_xl import vae
from families.t5_encoders import t5
from families.tokenizers import bert_tokenizer, t5_tokenizer
from families.weights import fill_zeros
from transformers import BertConfig, BertModel

BERT, T5 = 16, 24


def hunyuan_dit(seed: int = 0) -> Any:
    """A HunyuanDiTPipeline."""
    torch.manual_seed(seed)
    tokenizer, tokenizer_2 = bert_tokenizer(), t5_tokenizer()
    bert = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=BERT,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
    )
    transformer = HunyuanDiT2DModel(
        sample_size=8,
        num_layers=2,
        patch_size=2,
        attention_head_dim=8,
        num_attention_heads=2,
        in_channels=4,
        hidden_size=16,
        cross_attention_dim=BERT,
        cross_attention_dim_t5=T5,
        pooled_projection_dim=8,
    )
    fill_zeros(transformer)
    pipe = HunyuanDiTPipeline(
        text_encoder=BertModel(bert).eval(),
        tokenizer=tokenizer,
        text_encoder_2=t5(tokenizer_2, T5),
        tokenizer_2=tokenizer_2,
        transformer=transformer.eval(),
        vae=vae(),
        scheduler=DDPMScheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe
