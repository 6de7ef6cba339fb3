"""`python -m embedops_emoji.motion.train`: makes the image model move.

Two stages: clips are drawn and encoded once, then the adapter, the motion words' embeddings and how
the image model's cross-attention reads them are learnt until the time is spent. Goes on from its
last checkpoint, with a learning rate that follows the share of the time spent.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from diffusers import MotionAdapter, UNetMotionModel
from diffusers.models.attention_processor import AttnProcessor
from rich.console import Console
from safetensors.torch import load_file
from torch import Tensor, nn

from embedops_emoji.captions import Scene, Wording
from embedops_emoji.loader import load
from embedops_emoji.motion.clips import FRAMES, MOTION_WORDS, MOTIONS, Clip, sample_clip
from embedops_emoji.motion.parts import (
    ADAPTER_FOLDER,
    CROSS_ATTENTION_FILE,
    EMBEDDINGS_FILE,
    add_words,
    build_adapter,
    text_projections,
)
from embedops_emoji.scenes import Compositor
from embedops_emoji.training.cache import decode_scenes, encode_scenes
from embedops_emoji.training.optimizer import HybridOptimizer
from embedops_emoji.training.sampling import Mix, sample_scene, to_tensor
from embedops_emoji.training.support import TrainingLog, cosine, save_tensors

CLIPS_FILE = "clips.safetensors"
STATE_FILE = "motion-state.safetensors"
LOG_FILE = "training_log.jsonl"
_MOTIONS = tuple(MOTIONS)
_DROP_TEXT = 0.1
_PAIRS = 0.15


@dataclass(frozen=True)
class Settings:
    """Every number of the recipe. Steps count optimiser steps of one batch."""

    seed: int = 20241
    clips: int = 3000
    seconds: float = 4200.0
    steps: int = 100_000
    batch: int = 12
    rate: float = 2e-3
    word_rate: float = 1e-2
    warmup: int = 20
    ema: float = 0.99
    high_noise: float = 0.6
    """Timesteps are `uniform ** high_noise`: below 1, more of the noisy ones, where motion is
    decided."""
    save_seconds: float = 120.0


FULL = Settings()
SMOKE = replace(FULL, clips=6, seconds=30.0, steps=2, batch=2, warmup=1)


class Trained(nn.Module):
    """What is learnt: the motion modules inside a denoiser, its projections of the text, and the
    motion words' rows.

    Args:
        pipe: the image model, which stays as it is.
        settings: the recipe.
    """

    def __init__(self, pipe: Any, settings: Settings) -> None:
        super().__init__()
        torch.manual_seed(settings.seed)
        adapter = build_adapter()
        self.unet: Any = UNetMotionModel.from_unet2d(pipe.unet, adapter)
        self.unet.set_attn_processor(AttnProcessor())
        self.unet.requires_grad_(False)
        motion = {n: m for n, m in self.unet.named_modules() if n.endswith("motion_modules")}
        self.learnt = nn.ModuleDict(
            {
                part: nn.ModuleDict({n.replace(".", "/"): m for n, m in modules.items()})
                for part, modules in (("motion", motion), ("cross", text_projections(self.unet)))
            }
        ).requires_grad_(True)
        self.tokenizer, self.text_encoder = pipe.tokenizer, pipe.text_encoder.requires_grad_(False)
        spread = float(self.text_encoder.get_input_embeddings().weight.std())
        self.ids = add_words(self.tokenizer, self.text_encoder, MOTION_WORDS)
        width = self.text_encoder.config.hidden_size
        self.words = nn.Parameter(torch.randn(len(self.ids), width) * spread)
        self.register_buffer("_first", torch.tensor(min(self.ids)), persistent=False)
        self.text_encoder.get_input_embeddings().register_forward_hook(self._place)

    def states(self, texts: list[str]) -> Tensor:
        """Text states `[len(texts), length, width]`, with gradients for the words."""
        ids = self.tokenizer(
            texts,
            padding="max_length",
            truncation=True,
            max_length=self.tokenizer.model_max_length,
            return_tensors="pt",
        ).input_ids
        states: Tensor = self.text_encoder(ids).last_hidden_state
        return states

    def tensors(self) -> dict[str, Tensor]:
        """Everything that is learnt, by name."""
        return {
            **dict(self.learnt.named_parameters()),
            "words": self.words,
        }

    def _place(self, _module: nn.Module, args: tuple[Tensor], output: Tensor) -> Tensor:
        for number, token in enumerate(self.ids):
            output = torch.where((args[0] == token)[..., None], self.words[number], output)
        return output


def build_clips(settings: Settings, folder: Path, pipe: Any) -> None:
    """Draw and encode the clips: latents `[clips, 4, frames, 16, 16]` and what they show."""
    path = folder / CLIPS_FILE
    if path.is_file():
        return
    rng = np.random.default_rng([settings.seed, 1])
    mix = Mix(pairs=_PAIRS, half=0.0, empty=0.0)
    compositor = Compositor()
    latents, clips = [], []
    for _ in range(settings.clips):
        clip = sample_clip(rng, lambda: sample_scene(rng, mix))
        frames = to_tensor(clip.draw(compositor))
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            latents.append(pipe.vae.encode(frames).latent_dist.mean.bfloat16().transpose(0, 1))
        clips.append(clip)
    save_tensors(
        path,
        {
            "latents": torch.stack(latents),
            "scenes": encode_scenes([clip.scene for clip in clips]),
            "motions": torch.tensor([_MOTIONS.index(clip.motion) for clip in clips]),
        },
        {"frames": str(FRAMES)},
    )


def train(settings: Settings, folder: Path) -> None:
    """Both stages; writes the adapter and the words into `folder` at every checkpoint."""
    pipe = load("cpu", torch.float32)
    folder.mkdir(parents=True, exist_ok=True)
    build_clips(settings, folder, pipe)
    data = load_file(folder / CLIPS_FILE)
    scenes = decode_scenes(data["scenes"])
    model = Trained(pipe, settings)
    optimizer = HybridOptimizer(model.learnt, settings.rate)
    words = torch.optim.Adam([model.words], settings.word_rate)
    ema = {n: p.detach().clone() for n, p in model.tensors().items()}
    step, spent = _restore(folder, model, optimizer, ema)
    rng = np.random.default_rng([settings.seed, 2, step])
    torch.manual_seed(settings.seed + step)
    alphas = pipe.scheduler.alphas_cumprod
    log = TrainingLog(folder / LOG_FILE, "motion")
    losses: list[float] = []
    began = saved = time.monotonic()
    while True:
        now = spent + time.monotonic() - began
        progress = max(step / settings.steps, now / settings.seconds)
        if progress >= 1:
            break
        loss = _loss(model, data, scenes, alphas, settings, rng)
        torch.autograd.backward(loss)
        factor = cosine(progress) * min(1.0, (step + 1) / settings.warmup)
        for group in words.param_groups:
            group["lr"] = settings.word_rate * factor
        words.step()
        words.zero_grad()
        norm = optimizer.step(factor)
        step += 1
        decay = min(settings.ema, (1 + step) / (10 + step))
        with torch.no_grad():
            for name, value in model.tensors().items():
                ema[name].lerp_(value, 1 - decay)
        losses.append(float(loss.detach()))
        if step % 20 == 0:
            log.write(
                step,
                {
                    "loss": float(np.mean(losses[-20:])),
                    "norm": norm,
                    "progress": progress,
                    "clips_per_second": settings.batch * len(losses) / (time.monotonic() - began),
                },
            )
        if time.monotonic() - saved > settings.save_seconds:
            _save(folder, model, optimizer, ema, step, spent + time.monotonic() - began)
            saved = time.monotonic()
    _save(folder, model, optimizer, ema, step, spent + time.monotonic() - began)


def _loss(
    model: Trained,
    data: dict[str, Tensor],
    scenes: list[Scene],
    alphas: Tensor,
    settings: Settings,
    rng: np.random.Generator,
) -> Tensor:
    size = settings.batch
    rows = rng.integers(0, len(scenes), size)
    latents = data["latents"][torch.from_numpy(rows)].float()
    wording = Wording(implicit=0.0, group=0.02, typo=0.0)
    texts = []
    for row in rows.tolist():
        clip = Clip(scenes[row], _MOTIONS[int(data["motions"][row])])
        texts.append("" if rng.random() < _DROP_TEXT else clip.caption(rng, wording))
    # Stratified timesteps: every batch sees the whole schedule.
    uniform = (torch.arange(size) + torch.rand(size)) / size
    times = (uniform**settings.high_noise * len(alphas)).long()
    signal = alphas[times].sqrt()[:, None, None, None, None]
    sigma = (1 - alphas[times]).sqrt()[:, None, None, None, None]
    noise = torch.randn_like(latents)
    noisy = signal * latents + sigma * noise
    target = signal * noise - sigma * latents
    snr = alphas[times] / (1 - alphas[times])
    weight = (6 / (snr + 1)).clamp(max=1.0)
    states = model.states(texts).repeat_interleave(FRAMES, 0)
    with torch.autocast("cpu", torch.bfloat16):
        predicted = model.unet(noisy, times, states).sample
    error = (predicted.float() - target).square().mean(dim=(1, 2, 3, 4))
    result: Tensor = (weight * error).mean()
    return result


def _save(
    folder: Path,
    model: Trained,
    optimizer: HybridOptimizer,
    ema: dict[str, Tensor],
    step: int,
    spent: float,
) -> None:
    note = {"step": str(step), "spent": f"{spent:.1f}", "count": str(optimizer.count)}
    state = {f"weight.{n}": p for n, p in model.tensors().items()}
    state |= {f"ema.{n}": p for n, p in ema.items()}
    state |= {f"optimizer.{n}": p for n, p in optimizer.state.items()}
    save_tensors(folder / STATE_FILE, state, note)
    adapter: MotionAdapter = build_adapter()
    adapter.load_state_dict(_part(ema, "motion."), strict=False)
    adapter.half().save_pretrained(folder / ADAPTER_FOLDER)
    projections = {name: value.half() for name, value in _part(ema, "cross.").items()}
    save_tensors(folder / CROSS_ATTENTION_FILE, projections, {"format": "pt"})
    rows = {word: row.half() for word, row in zip(MOTION_WORDS, ema["words"], strict=True)}
    save_tensors(folder / EMBEDDINGS_FILE, rows, {"format": "pt"})


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors of one part, under the names that the denoiser gives them."""
    return {
        name.removeprefix(prefix).replace("/", "."): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


@torch.no_grad()
def _restore(
    folder: Path, model: Trained, optimizer: HybridOptimizer, ema: dict[str, Tensor]
) -> tuple[int, float]:
    """Load the last checkpoint in place; returns its step and the seconds spent so far."""
    from safetensors import safe_open

    path = folder / STATE_FILE
    if not path.is_file():
        return 0, 0.0
    with safe_open(path, "pt") as file:
        note = file.metadata()
    tensors = load_file(path)
    for name, value in model.tensors().items():
        value.copy_(tensors[f"weight.{name}"])
        ema[name].copy_(tensors[f"ema.{name}"])
    for name, value in optimizer.state.items():
        value.copy_(tensors[f"optimizer.{name}"])
    optimizer.count = int(note["count"])
    return int(note["step"]), float(note["spent"])


def main(
    out: Annotated[Path, typer.Option(help="Working folder: checkpoints, clips, log.")] = Path(
        "outputs/motion"
    ),
    smoke: Annotated[bool, typer.Option(help="Both stages at toy length.")] = False,
    seconds: Annotated[float, typer.Option(help="Time to train for.")] = FULL.seconds,
    threads: Annotated[int, typer.Option(min=1, help="Threads.")] = 1,
) -> None:
    """Train the motion adapter."""
    torch.set_num_threads(threads)
    train(SMOKE if smoke else replace(FULL, seconds=seconds), out)
    Console(stderr=True).print(f"written to {out}")


if __name__ == "__main__":
    typer.run(main)
