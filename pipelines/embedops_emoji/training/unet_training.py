"""Stage `unet`: the denoiser, on cached latents and frozen text, in one or more processes."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor
from torch.multiprocessing.spawn import spawn

from embedops_emoji.captions import Wording, caption
from embedops_emoji.scenes import IMAGE_SIZE
from embedops_emoji.training.cache import CachedScenes, is_blank
from embedops_emoji.training.optimizer import HybridOptimizer
from embedops_emoji.training.sampling import filler_text
from embedops_emoji.training.settings import Settings
from embedops_emoji.training.support import TrainingLog, cosine, save_tensors
from embedops_emoji.training.text_training import load_text, tokenize

UNET_FILE = "unet.safetensors"
STATE_FILE = "unet-state.safetensors"
_DROP_TEXT = 0.1


def build_unet(settings: Settings) -> UNet2DConditionModel:
    """An untrained denoiser: convolutions at 16x16, cross-attention at 8x8 and 4x4."""
    channels = settings.unet_channels
    return UNet2DConditionModel(
        sample_size=IMAGE_SIZE // 4,
        in_channels=4,
        out_channels=4,
        block_out_channels=channels,
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        # diffusers reads this as the number of heads.
        attention_head_dim=tuple(max(1, c // settings.unet_head_dim) for c in channels),
        cross_attention_dim=settings.text_width,
        norm_num_groups=16,
    )


def build_scheduler() -> DDIMScheduler:
    """Stable Diffusion's noise schedule, predicting velocity."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        timestep_spacing="trailing",
    )


def train_unet(settings: Settings, folder: Path, log: Path) -> None:
    """Train, or go on from the last checkpoint, until the time or the steps are spent."""
    if settings.unet_ranks == 1:
        _worker(0, settings, folder, log)
        return
    meeting = folder / "meeting-point"
    meeting.unlink(missing_ok=True)
    spawn(_worker, (settings, folder, log), nprocs=settings.unet_ranks)  # type: ignore[no-untyped-call]  # torch has no hints here


class _Text:
    """Captions to text states, frozen."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.tokenizer, encoder = load_text(settings, folder)
        self.encoder = encoder.bfloat16()

    @torch.no_grad()
    def states(self, texts: list[str]) -> Tensor:
        """Last hidden states `[batch, length, width]` in bfloat16."""
        ids = tokenize(self.tokenizer, texts)
        hidden: Tensor = self.encoder(ids).last_hidden_state
        return hidden


def _worker(rank: int, settings: Settings, folder: Path, log: Path) -> None:
    ranks = settings.unet_ranks
    if ranks > 1:
        torch.set_num_threads(1)
        meeting = (folder / "meeting-point").absolute()
        dist.init_process_group("gloo", f"file://{meeting}", rank=rank, world_size=ranks)
    torch.manual_seed(settings.seed + 4)
    unet = build_unet(settings)
    unet.set_attn_processor(AttnProcessor())
    unet.to(memory_format=torch.channels_last)
    optimizer = HybridOptimizer(unet, settings.unet_rate, muon=settings.unet_muon)
    ema = {n: p.detach().clone() for n, p in unet.named_parameters()}
    step, spent = _restore(folder, optimizer, ema)
    text = _Text(settings, folder)
    data = CachedScenes(folder)
    alphas = build_scheduler().alphas_cumprod
    writer = TrainingLog(log, "unet")
    rng = np.random.default_rng([settings.seed, 7, rank, step])
    torch.manual_seed(settings.seed * 1000 + 10 * step + rank)
    began = saved = time.monotonic()
    losses: list[float] = []
    while True:
        # One process's clock decides for all, or they would stop at different steps.
        now = spent + time.monotonic() - began
        clock = torch.tensor(max(step / settings.unet_steps, now / settings.unet_seconds))
        if ranks > 1:
            dist.broadcast(clock, 0)
        progress = float(clock)
        if progress >= 1:
            break
        loss = _loss(unet, text, data, alphas, settings.unet_batch // ranks, rng)
        torch.autograd.backward(loss)
        warm = min(1.0, (step + 1) / settings.unet_warmup)
        norm = optimizer.step(cosine(progress) * warm)
        step += 1
        _follow(ema, optimizer.parameters, min(settings.unet_ema, (1 + step) / (10 + step)))
        losses.append(float(loss.detach()))
        if step % 50 == 0:
            data.refresh()
            if rank == 0:
                speed = settings.unet_batch * len(losses) / (time.monotonic() - began + 1e-9)
                metrics = {"loss": float(np.mean(losses[-50:])), "norm": norm}
                metrics |= {"progress": progress, "scenes": float(len(data))}
                writer.write(step, metrics | {"images_per_second": speed})
        if rank == 0 and time.monotonic() - saved > settings.unet_save_seconds:
            _save(folder, optimizer, ema, step, spent + time.monotonic() - began)
            saved = time.monotonic()
    if rank == 0:
        _save(folder, optimizer, ema, step, spent + time.monotonic() - began)
    if ranks > 1:
        dist.barrier()
        dist.destroy_process_group()


def _loss(
    unet: UNet2DConditionModel,
    text: _Text,
    data: CachedScenes,
    alphas: Tensor,
    size: int,
    rng: np.random.Generator,
) -> Tensor:
    latents, scenes = data.batch(size, rng)
    wording = Wording()
    texts = []
    for scene in scenes:
        if rng.random() < _DROP_TEXT:
            texts.append("")
        elif is_blank(scene) and rng.random() < 0.5:
            texts.append(filler_text(rng))
        else:
            texts.append(caption(scene, rng, wording))
    # Stratified timesteps: every batch sees the whole schedule.
    times = ((torch.arange(size) + torch.rand(size)) / size * len(alphas)).long()
    signal = alphas[times].sqrt()[:, None, None, None]
    sigma = (1 - alphas[times]).sqrt()[:, None, None, None]
    noise = torch.randn_like(latents)
    noisy = signal * latents + sigma * noise
    target = signal * noise - sigma * latents
    snr = alphas[times] / (1 - alphas[times])
    weight = (6 / (snr + 1)).clamp(max=1.0)
    with torch.autocast("cpu", torch.bfloat16):
        predicted = unet(
            noisy.contiguous(memory_format=torch.channels_last), times, text.states(texts)
        ).sample
    error = (predicted.float() - target).square().mean(dim=(1, 2, 3))
    result: Tensor = (weight * error).mean()
    return result


@torch.no_grad()
def _follow(ema: dict[str, Tensor], parameters: dict[str, Tensor], decay: float) -> None:
    torch._foreach_lerp_(list(ema.values()), [parameters[n] for n in ema], 1 - decay)


def _save(
    folder: Path, optimizer: HybridOptimizer, ema: dict[str, Tensor], step: int, spent: float
) -> None:
    note = {"step": str(step), "spent": f"{spent:.1f}", "count": str(optimizer.count)}
    state: dict[str, Tensor] = {f"weight.{n}": p for n, p in optimizer.parameters.items()}
    state |= {f"ema.{n}": p for n, p in ema.items()}
    state |= {f"optimizer.{n}": p for n, p in optimizer.state.items()}
    save_tensors(folder / STATE_FILE, state, note)
    save_tensors(folder / UNET_FILE, ema, note)


@torch.no_grad()
def _restore(folder: Path, optimizer: HybridOptimizer, ema: dict[str, Tensor]) -> tuple[int, float]:
    """Load the last checkpoint in place; returns its step and the seconds spent so far."""
    path = folder / STATE_FILE
    if not path.is_file():
        return 0, 0.0
    with safe_open(path, "pt") as file:
        note = file.metadata()
    tensors = load_file(path)
    for name, parameter in optimizer.parameters.items():
        parameter.copy_(tensors[f"weight.{name}"])
        ema[name].copy_(tensors[f"ema.{name}"])
    for name, value in optimizer.state.items():
        value.copy_(tensors[f"optimizer.{name}"])
    optimizer.count = int(note["count"])
    return int(note["step"]), float(note["spent"])
