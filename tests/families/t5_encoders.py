"""T5 and UMT5 text encoders of a few thousand parameters."""

from __future__ import annotations

from typing import Any

from transformers import T5Config, T5EncoderModel, UMT5Config, UMT5EncoderModel

_SIZES = {"d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}


def t5(tokenizer: Any, dim: int) -> T5EncoderModel:
    """Two layers of width `dim`."""
    config = T5Config(
        vocab_size=len(tokenizer), d_model=dim, relative_attention_num_buckets=8, **_SIZES
    )
    return T5EncoderModel(config).eval()


def umt5(tokenizer: Any, dim: int) -> UMT5EncoderModel:
    """Two layers of width `dim`."""
    config = UMT5Config(
        vocab_size=len(tokenizer), d_model=dim, relative_attention_num_buckets=8, **_SIZES
    )
    return UMT5EncoderModel(config).eval()
