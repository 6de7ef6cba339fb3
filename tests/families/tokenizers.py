"""Tokenizers built in memory: the words of `tiny.WORDS` are a token each, the rest is spelt."""

from __future__ import annotations

import string
from collections.abc import Sequence

from tiny import WORDS, clip_tokenizer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import BertTokenizer, PreTrainedTokenizerFast, T5Tokenizer

__all__ = ["CHATML", "bert_tokenizer", "clip_tokenizer", "llm_tokenizer", "t5_tokenizer"]

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}"
    "{{ '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% if enable_thinking is defined and not enable_thinking %}"
    "{{ '<think>\n\n</think>\n\n' }}{% endif %}{% endif %}"
)
"""A chat template of the ChatML kind, for content given as text or as parts, with Qwen3's empty
block of thought where a pipeline asks for none."""

_SPACE = "▁"
_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def t5_tokenizer(max_length: int = 512) -> T5Tokenizer:
    """A sentencepiece-like tokenizer that ends each text with `</s>`, with one sentinel."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), (_SPACE, -4.0)]
    pieces += [(_SPACE + word, -2.0) for word in WORDS]
    pieces += [(character, -8.0) for character in string.printable.strip()]
    pieces.append(("<extra_id_0>", 0.0))
    return T5Tokenizer(vocab=pieces, extra_ids=1, model_max_length=max_length)


def llm_tokenizer(
    *,
    bos: str | None = None,
    eos: str = "<|im_end|>",
    pad: str = "<|endoftext|>",
    adds_bos: bool = False,
    adds_eos: bool = False,
    padding_side: str = "right",
    chat_template: str | None = CHATML,
    special: Sequence[str] = (),
    max_length: int = 512,
) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer as language models have.

    Args:
        bos: the token that begins a text; None where the model has none.
        eos: the token that ends one.
        pad: the token that fills a row up.
        adds_bos: whether the tokenizer itself puts `bos` before each text.
        adds_eos: whether it puts `eos` after.
        padding_side: `"left"` or `"right"`.
        chat_template: the Jinja template of `apply_chat_template`.
        special: further tokens that are never split.
        max_length: what it truncates to where nothing else is asked for.
    """
    symbols = sorted(pre_tokenizers.ByteLevel.alphabet())
    begun = [form for word in WORDS for form in (word, "Ġ" + word)]
    named = [*_SPECIAL, *special, *([bos] if bos else []), eos, pad]
    tokens = dict.fromkeys([*symbols, *begun, *named])
    vocab = {token: number for number, token in enumerate(tokens)}
    # Words are found whole and all else is spelt in bytes, so there is nothing to merge.
    inner = Tokenizer(models.BPE(vocab=vocab, merges=[], ignore_merges=True))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens(list(dict.fromkeys(named)))
    if (adds_bos and bos) or adds_eos:
        before, after = f"{bos} " if adds_bos and bos else "", f" {eos}" if adds_eos else ""
        inner.post_processor = processors.TemplateProcessing(
            single=f"{before}$A{after}",
            pair=f"{before}$A $B{after}",
            special_tokens=[(token, vocab[token]) for token in (bos, eos) if token],
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token=bos,
        eos_token=eos,
        pad_token=pad,
        padding_side=padding_side,
        chat_template=chat_template,
        model_max_length=max_length,
    )


def bert_tokenizer(max_length: int = 77) -> BertTokenizer:
    """A word-piece tokenizer: `[CLS]` text `[SEP]`, lower case."""
    letters = string.ascii_lowercase + string.digits + string.punctuation
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *letters]
    tokens += ["##" + letter for letter in letters]
    vocab = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    return BertTokenizer(vocab=vocab, model_max_length=max_length)
