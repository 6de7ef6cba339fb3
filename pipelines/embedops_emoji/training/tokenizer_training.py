"""Stage `text`, first half: a CLIP-style byte-pair tokenizer that knows the captions' words."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
from transformers import CLIPTokenizer

from embedops_emoji import world
from embedops_emoji.captions import (
    ADJECTIVES,
    ARTICLES,
    FRAMES,
    JOINS,
    TAILS,
    Scene,
    Wording,
    caption,
)
from embedops_emoji.training.sampling import Mix, sample_scene
from embedops_emoji.training.settings import Settings

BOS, EOS = "<|startoftext|>", "<|endoftext|>"
TOKENIZER_FOLDER = "tokenizer"
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,-'!?:;()\"/&"


def grammar_words() -> set[str]:
    """Every word that a caption can hold, typos aside."""
    phrases: list[str] = [*FRAMES, *JOINS, *ARTICLES, *ADJECTIVES, *TAILS]
    phrases += ["a", "an", "picture", "image", "icon", "of", "in", "style"]
    phrases += [*world.NEUTRAL_WORDS, *world.EMPTY_WORDS, *world.GROUP_WORDS.values()]
    for thing in world.OBJECTS.values():
        phrases += [*thing.nouns, *thing.implicit]
    for table in (world.BACKGROUNDS, world.EMPTY_SCENES, world.STYLES, world.POSES):
        for options in table.values():
            phrases += options
    return {word for phrase in phrases for word in phrase.split()}


def train_tokenizer(settings: Settings, folder: Path) -> CLIPTokenizer:
    """Learn merges from captions and write `tokenizer/` (vocab.json, merges.txt, config).

    Whole words first: merges are learnt greedily from the counted words, each of the grammar's
    words weighted so that it ends as one token; misspelt words fall apart into pieces.
    """
    rng = np.random.default_rng([settings.seed, 2])
    counts: Counter[str] = Counter()
    mix = Mix(posed=0.1)
    for _ in range(settings.tokenizer_captions):
        counts.update(caption(sample_scene(rng, mix), rng, Wording(typo=0.3)).split())
    known = grammar_words()
    weighted = {w.strip(",."): 1 for w in counts if w.isalpha()}
    for word in known:
        weighted[word] = 200
    merges = learn_merges(weighted, whole=known)
    vocab: dict[str, int] = {}
    for letter in _LETTERS:
        vocab[letter] = len(vocab)
    for letter in _LETTERS:
        vocab[f"{letter}</w>"] = len(vocab)
    for left, right in merges:
        vocab.setdefault(left + right, len(vocab))
    vocab[BOS] = len(vocab)
    vocab[EOS] = len(vocab)
    out = folder / TOKENIZER_FOLDER
    out.mkdir(parents=True, exist_ok=True)
    (out / "vocab.json").write_text(json.dumps(vocab), encoding="utf-8")
    lines = ["#version: 0.2", *(f"{left} {right}" for left, right in merges)]
    (out / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    tokenizer = CLIPTokenizer(
        str(out / "vocab.json"),
        str(out / "merges.txt"),
        unk_token=EOS,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=EOS,
        model_max_length=settings.max_length,
    )
    tokenizer.save_pretrained(out)
    return CLIPTokenizer.from_pretrained(out)


def learn_merges(words: dict[str, int], whole: set[str]) -> list[tuple[str, str]]:
    """Byte-pair merges by weighted pair counts, until each word of `whole` is one symbol."""
    splits = {w: [*w[:-1], f"{w[-1]}</w>"] for w in words if set(w) <= set(_LETTERS)}
    merges: list[tuple[str, str]] = []
    while any(len(splits[w]) > 1 for w in whole if w in splits):
        pairs: Counter[tuple[str, str]] = Counter()
        for word, symbols in splits.items():
            for pair in pairwise(symbols):
                pairs[pair] += words[word]
        left, right = min(pairs, key=lambda p: (-pairs[p], p))
        merges.append((left, right))
        for symbols in splits.values():
            i = 0
            while i < len(symbols) - 1:
                if symbols[i] == left and symbols[i + 1] == right:
                    symbols[i : i + 2] = [left + right]
                i += 1
    return merges


def empty_scene() -> Scene:
    """The blank picture that texts naming nothing go with."""
    return Scene(())
