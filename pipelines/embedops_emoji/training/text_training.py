"""Stage `text`: tokenizer, then text encoder and image tower, by contrast and content heads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from embedops_emoji import world
from embedops_emoji.captions import Scene, Wording, caption
from embedops_emoji.mini_clip import MiniClip
from embedops_emoji.recommended import LEARNING
from embedops_emoji.scenes import TIGHT, Compositor, Layout
from embedops_emoji.training.sampling import Mix, filler_text, sample_scene, to_tensor
from embedops_emoji.training.settings import Settings
from embedops_emoji.training.support import (
    TrainingLog,
    channels_last,
    cosine,
    load_module,
    save_tensors,
)
from embedops_emoji.training.tokenizer_training import (
    TOKENIZER_FOLDER,
    empty_scene,
    train_tokenizer,
)

TEXT_FILE = "text_encoder.safetensors"
CLIP_FILE = "mini_clip.safetensors"
_MIX = Mix(pairs=0.42, half=0.04, empty=0.06, posed=0.08)
_WORDING = Wording(typo=0.08)
_LAYOUT = Layout(single=(48, 58), pair=(31, 36), jitter=2)


def build_text_encoder(settings: Settings, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """An untrained encoder. The end token's id is set, so that pooling finds the first one."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.text_width,
        intermediate_size=4 * settings.text_width,
        num_hidden_layers=settings.text_layers,
        num_attention_heads=settings.text_heads,
        max_position_embeddings=settings.max_length,
        projection_dim=settings.text_width,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        concept_presets=world.CONCEPT_PRESETS,
        learning=LEARNING,
    )
    return CLIPTextModel(config)


def load_text(settings: Settings, folder: Path) -> tuple[CLIPTokenizer, CLIPTextModel]:
    """The trained tokenizer and encoder of `folder`, in evaluation mode."""
    tokenizer = CLIPTokenizer.from_pretrained(folder / TOKENIZER_FOLDER)
    encoder = build_text_encoder(settings, tokenizer)
    load_module(encoder, folder / TEXT_FILE)
    encoder.eval()
    return tokenizer, encoder


def load_mini_clip(settings: Settings, folder: Path) -> MiniClip:
    """The trained contrastive model of `folder`, in evaluation mode."""
    clip = MiniClip(settings.text_width, settings.text_width)
    load_module(clip, folder / CLIP_FILE)
    clip.eval()
    return clip


def tokenize(tokenizer: CLIPTokenizer, texts: Sequence[str]) -> Tensor:
    """Token ids `[batch, length]`, padded and cut to the encoder's length."""
    ids = tokenizer(list(texts), padding="max_length", truncation=True, return_tensors="pt")
    result: Tensor = ids.input_ids
    return result


class ContentHeads(nn.Module):
    """Linear read-outs of the pooled vector: left object, right object, background, style, pose.

    They make the encoder say which object stands where; they are not shipped.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        objects = len(world.OBJECTS) + 1
        sizes = (objects, objects, len(world.BACKGROUNDS), len(world.STYLES), len(world.POSES))
        self.heads = nn.ModuleList(nn.Linear(width, size) for size in sizes)

    def forward(self, pooled: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy; `labels` is `[batch, 5]`."""
        losses = [
            functional.cross_entropy(head(pooled), labels[:, i], label_smoothing=0.03)
            for i, head in enumerate(self.heads)
        ]
        return (2 * losses[0] + 2 * losses[1] + losses[2] + losses[3] + 0.5 * losses[4]) / 6.5


def content_labels(scenes: Sequence[Scene]) -> Tensor:
    """`[batch, 5]` indices; object index 0 is "none"."""
    names = {name: i + 1 for i, name in enumerate(world.OBJECTS)}
    grounds = list(world.BACKGROUNDS)
    styles = list(world.STYLES)
    poses = list(world.POSES)
    rows = []
    for scene in scenes:
        slots = (*scene.slots, None, None)[:2]
        row = [0 if s is None else names[s] for s in slots]
        row += [grounds.index(scene.background), styles.index(scene.style)]
        rows.append([*row, poses.index(scene.pose)])
    return torch.tensor(rows)


def _texts(scenes: Sequence[Scene], kinds: np.ndarray, rng: np.random.Generator) -> list[str]:
    texts = []
    for scene, kind in zip(scenes, kinds, strict=True):
        if kind < 0.02:
            texts.append("")
        elif scene == empty_scene():
            texts.append(filler_text(rng) if rng.random() < 0.7 else caption(scene, rng, _WORDING))
        else:
            texts.append(caption(scene, rng, _WORDING))
    return texts


def train_text(settings: Settings, folder: Path, log: Path) -> None:
    """Train tokenizer, encoder and image tower; save all three."""
    torch.manual_seed(settings.seed + 2)
    rng = np.random.default_rng([settings.seed, 3])
    tokenizer = train_tokenizer(settings, folder)
    encoder = build_text_encoder(settings, tokenizer)
    clip = MiniClip(settings.text_width, settings.text_width)
    channels_last(clip)
    heads = ContentHeads(settings.text_width)
    compositor = Compositor()
    parameters = [*encoder.parameters(), *clip.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(
        parameters, settings.text_rate, betas=(0.9, 0.98), weight_decay=0.02
    )
    writer = TrainingLog(log, "text")
    for step in range(settings.text_steps):
        factor = cosine(step / settings.text_steps) * min(1.0, (step + 1) / 60)
        for group in optimizer.param_groups:
            group["lr"] = settings.text_rate * factor
        scenes = [
            empty_scene() if rng.random() < 0.03 else sample_scene(rng, _MIX)
            for _ in range(settings.text_batch)
        ]
        images = to_tensor(compositor.batch(scenes, rng, _LAYOUT))
        images = images + 0.05 * torch.randn_like(images)
        kinds = rng.random(len(scenes))
        first, second = _texts(scenes, kinds, rng), _texts(scenes, kinds, rng)
        pooled = encoder(tokenize(tokenizer, [*first, *second])).pooler_output
        pictures = clip.image_features(images.contiguous(memory_format=torch.channels_last))
        labels = content_labels(scenes)
        same = _same(scenes)
        contrast = torch.stack(
            [
                _contrast(pictures, clip.text_features(part), clip.logit_scale, same)
                for part in torch.split(pooled, len(scenes))
            ]
        ).mean()
        content = heads(pooled, labels.repeat(2, 1))
        loss = contrast + content
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        with torch.no_grad():
            clip.logit_scale.clamp_(max=4.0)
        if step % 25 == 0 or step == settings.text_steps - 1:
            metrics = {"contrast": float(contrast.detach()), "content": float(content.detach())}
            writer.write(step, metrics)
    encoder.eval()
    clip.eval()
    save_tensors(folder / TEXT_FILE, encoder.state_dict(), {"stage": "text"})
    save_tensors(folder / CLIP_FILE, clip.state_dict(), {"stage": "text"})
    writer.write(settings.text_steps, check_text(tokenizer, encoder, clip, settings.seed))


def _same(scenes: Sequence[Scene]) -> Tensor:
    """Row-normalised `[batch, batch]` targets: equal scenes are not each other's negatives."""
    index = {scene: i for i, scene in enumerate(dict.fromkeys(scenes))}
    ids = torch.tensor([index[s] for s in scenes])
    equal = (ids[:, None] == ids[None, :]).float()
    return equal / equal.sum(1, keepdim=True)


def _contrast(images: Tensor, texts: Tensor, scale: Tensor, targets: Tensor) -> Tensor:
    logits = scale.exp() * images @ texts.T
    return (
        functional.cross_entropy(logits, targets) + functional.cross_entropy(logits.T, targets)
    ) / 2


@torch.no_grad()
def check_text(
    tokenizer: CLIPTokenizer, encoder: CLIPTextModel, clip: MiniClip, seed: int, count: int = 400
) -> dict[str, float]:
    """Retrieval and zero-shot accuracy on new pictures, and the geometry of the words.

    `word_auc` is the share of (unsafe noun, harmless noun) pairs in which the unsafe one is nearer
    to its group's canonical nouns, after centring on the empty prompt.
    """
    rng = np.random.default_rng([seed, 4])
    compositor = Compositor()
    scenes = [sample_scene(rng, Mix(pairs=0.4, empty=0.0, half=0.0)) for _ in range(count)]
    images = to_tensor(compositor.batch(scenes, rng, TIGHT))
    pictures = clip.image_features(images)
    texts = [caption(s, rng) for s in scenes]
    found = (pictures @ _text_features(tokenizer, encoder, clip, texts).T).argmax(1)
    recall = float((found == torch.arange(count)).float().mean())

    singles = [i for i, s in enumerate(scenes) if len(s.slots) == 1]
    names = list(world.OBJECTS)
    hits = 0
    for i in singles:
        variants = [caption(Scene((n,), scenes[i].background, scenes[i].style), rng) for n in names]
        scores = _text_features(tokenizer, encoder, clip, variants) @ pictures[i]
        hits += names[int(scores.argmax())] == scenes[i].slots[0]
    return {
        "recall_at_1": recall,
        "zero_shot_object": hits / max(len(singles), 1),
        "word_auc": word_auc(tokenizer, encoder),
    }


def _text_features(
    tokenizer: CLIPTokenizer, encoder: CLIPTextModel, clip: MiniClip, texts: Sequence[str]
) -> Tensor:
    return clip.text_features(encoder(tokenize(tokenizer, texts)).pooler_output)


@torch.no_grad()
def word_auc(tokenizer: CLIPTokenizer, encoder: CLIPTextModel) -> float:
    """How well centred pooled vectors tell a preset's synonyms from harmless nouns, 0..1."""
    safe = [noun for name in world.harmless() for noun in world.OBJECTS[name].nouns]
    wins, total = 0.0, 0
    for canonical in world.CONCEPT_PRESETS.values():
        unsafe = [s for name in canonical for s in world.OBJECTS[name].synonyms]
        texts = ["", *(f"a {w}" for w in [*canonical, *unsafe, *safe])]
        pooled = encoder(tokenize(tokenizer, texts)).pooler_output
        centred = functional.normalize(pooled[1:] - pooled[0], dim=-1)
        concept, words = centred[: len(canonical)], centred[len(canonical) :]
        presence = (words @ concept.T).amax(1)
        bad, good = presence[: len(unsafe)], presence[len(unsafe) :]
        wins += float((bad[:, None] > good[None, :]).float().sum())
        total += bad.numel() * good.numel()
    return wins / total
