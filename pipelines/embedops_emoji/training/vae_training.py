"""Stage `vae`: an AutoencoderKL, 64x64x3 to 16x16x4."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from embedops_emoji.scenes import IMAGE_SIZE, LOOSE, TIGHT, Compositor
from embedops_emoji.training.sampling import Mix, sample_scene, to_tensor
from embedops_emoji.training.settings import Settings
from embedops_emoji.training.support import TrainingLog, cosine, load_module, save_tensors

VAE_FILE = "vae.safetensors"


def build_vae(settings: Settings) -> AutoencoderKL:
    """An untrained autoencoder; its latents are scaled in its weights, so the factor is 1."""
    levels = len(settings.vae_channels)
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=settings.vae_channels,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=IMAGE_SIZE,
        scaling_factor=1.0,
        mid_block_add_attention=False,
    )


def load_vae(settings: Settings, folder: Path) -> AutoencoderKL:
    """The trained autoencoder of `folder`, in evaluation mode."""
    vae = build_vae(settings)
    load_module(vae, folder / VAE_FILE)
    vae.eval()
    return vae


def train_vae(settings: Settings, folder: Path, log: Path) -> None:
    """Train, whiten the latents channel by channel, save."""
    torch.manual_seed(settings.seed + 1)
    rng = np.random.default_rng([settings.seed, 1])
    compositor = Compositor()
    vae = build_vae(settings)
    optimizer = torch.optim.AdamW(
        vae.parameters(), settings.vae_rate, betas=(0.9, 0.99), weight_decay=1e-4
    )
    writer = TrainingLog(log, "vae")
    # Loose layouts and poses keep the decoder general: edited and learned images must fit as well.
    mixes = ((Mix(posed=0.0), TIGHT), (Mix(posed=0.3, reserved=True), LOOSE))
    for step in range(settings.vae_steps):
        factor = cosine(step / settings.vae_steps) * min(1.0, (step + 1) / 100)
        for group in optimizer.param_groups:
            group["lr"] = settings.vae_rate * factor
        mix, layout = mixes[step % 4 == 3]
        scenes = [sample_scene(rng, mix) for _ in range(settings.vae_batch)]
        images = to_tensor(compositor.batch(scenes, rng, layout))
        if step < settings.vae_crop_steps:
            images = _crop(images, rng)
        with torch.autocast("cpu", torch.bfloat16):
            posterior = vae.encode(images).latent_dist
            decoded = vae.decode(posterior.sample()).sample
        loss, metrics = _loss(decoded.float(), images, posterior.mean, posterior.logvar)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        if step % 50 == 0 or step == settings.vae_steps - 1:
            writer.write(step, metrics)
        if step % 500 == 499:
            save_tensors(folder / f"partial-{VAE_FILE}", vae.state_dict(), {"step": str(step)})
    vae.eval()
    scenes = [sample_scene(rng, Mix()) for _ in range(16 * settings.vae_batch)]
    whiten(vae, to_tensor(compositor.batch(scenes, rng)))
    save_tensors(folder / VAE_FILE, vae.state_dict(), {"stage": "vae"})


def _crop(images: Tensor, rng: np.random.Generator) -> Tensor:
    """A quarter of each picture, at a multiple of the latent stride: four times cheaper.

    The network has no attention, so only its group normalisation notices; the last steps see whole
    pictures for that.
    """
    half = IMAGE_SIZE // 2
    corners = rng.integers(0, half // 4 + 1, size=(len(images), 2)) * 4
    parts = [i[:, y : y + half, x : x + half] for i, (y, x) in zip(images, corners, strict=True)]
    return torch.stack(parts)


def _loss(
    decoded: Tensor, images: Tensor, mean: Tensor, logvar: Tensor
) -> tuple[Tensor, dict[str, float]]:
    error = decoded - images
    mse = error.square().mean()
    edges = (error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()) / 2
    mean, logvar = mean.float(), logvar.float()
    kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
    loss = error.abs().mean() + 2 * mse + 0.5 * edges + 1e-3 * kl
    psnr = float(10 * torch.log10(4 / mse.detach()))
    return loss, {"loss": float(loss.detach()), "psnr": psnr, "kl": float(kl.detach())}


@torch.no_grad()
def whiten(vae: AutoencoderKL, images: Tensor) -> None:
    """Fold per-channel mean and deviation of the latents into the 1x1 convolutions around them.

    Stable Diffusion pipelines only know one scalar factor; this way they see unit-variance
    latents without a change.
    """
    latents = torch.cat([vae.encode(part).latent_dist.mean for part in torch.split(images, 64)])
    mean = latents.mean(dim=(0, 2, 3))
    deviation = latents.std(dim=(0, 2, 3))
    channels = mean.numel()
    quant, post = vae.quant_conv, vae.post_quant_conv
    if quant is None or post is None:
        raise ValueError("the autoencoder needs its 1x1 convolutions around the latents")
    quant.weight[:channels] /= deviation[:, None, None, None]
    quant.bias[:channels] = (quant.bias[:channels] - mean) / deviation
    quant.bias[channels:] -= 2 * deviation.log()
    post.bias += (post.weight[:, :, 0, 0] * mean).sum(1)
    post.weight *= deviation[None, :, None, None]
