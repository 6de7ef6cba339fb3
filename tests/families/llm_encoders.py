"""Language models of a few thousand parameters, as text encoders."""

from __future__ import annotations

from typing import Any

from transformers import LlamaConfig, LlamaForCausalLM, LlamaModel


def llama_config(tokenizer: Any, dim: int, layers: int) -> LlamaConfig:
    """`layers` layers of width `dim`."""
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=dim,
        intermediate_size=2 * dim,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=2,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def llama(tokenizer: Any, dim: int, layers: int = 4) -> LlamaModel:
    """A LlamaModel."""
    return LlamaModel(llama_config(tokenizer, dim, layers)).eval()


def llama_for_text(tokenizer: Any, dim: int, layers: int = 2) -> LlamaForCausalLM:
    """A LlamaForCausalLM."""
    return LlamaForCausalLM(llama_config(tokenizer, dim, layers)).eval()
