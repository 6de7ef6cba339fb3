"""Stage `evaluator`: trained on drawn scenes and on damaged and re-decoded copies of them.

Its check pictures come from another random stream and another layout draw than its training
pictures, and decide the threshold; no generated picture plays a part.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional

from embedops_emoji import world
from embedops_emoji.captions import Scene
from embedops_emoji.evaluator import DEFAULT_THRESHOLD, EvaluatorNet
from embedops_emoji.scenes import LOOSE, TIGHT, Compositor, Layout
from embedops_emoji.training.sampling import Mix, sample_scene, to_tensor
from embedops_emoji.training.settings import Settings
from embedops_emoji.training.support import (
    TrainingLog,
    channels_last,
    cosine,
    load_module,
    save_tensors,
)
from embedops_emoji.training.vae_training import load_vae

EVALUATOR_FILE = "evaluator.safetensors"
CHECK_FILE = "evaluator-check.json"
_MIX = Mix(pairs=0.45, half=0.08, empty=0.1, posed=0.25, reserved=True)
_WIDE = Layout(single=(36, 60), pair=(26, 39), jitter=5, angles=(20, 55))


def train_evaluator(settings: Settings, folder: Path, log: Path) -> None:
    """Train, then measure on separate renderings and save both."""
    torch.manual_seed(settings.seed + 3)
    rng = np.random.default_rng([settings.seed, 5])
    vae = load_vae(settings, folder)
    compositor = Compositor()
    net = EvaluatorNet()
    channels_last(net)
    optimizer = torch.optim.AdamW(net.parameters(), settings.evaluator_rate, weight_decay=0.02)
    writer = TrainingLog(log, "evaluator")
    for step in range(settings.evaluator_steps):
        factor = cosine(step / settings.evaluator_steps) * min(1.0, (step + 1) / 60)
        for group in optimizer.param_groups:
            group["lr"] = settings.evaluator_rate * factor
        scenes = [sample_scene(rng, _MIX) for _ in range(settings.evaluator_batch)]
        layout = (TIGHT, LOOSE, _WIDE)[step % 3]
        images = damage(to_tensor(compositor.batch(scenes, rng, layout)), vae, rng)
        loss = _loss(net(images.contiguous(memory_format=torch.channels_last)), scenes)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()
        if step % 50 == 0 or step == settings.evaluator_steps - 1:
            writer.write(step, {"loss": float(loss.detach())})
    net.eval()
    save_tensors(folder / EVALUATOR_FILE, net.state_dict(), {"stage": "evaluator"})
    report = check_evaluator(settings, net, vae)
    (folder / CHECK_FILE).write_text(json.dumps(report, indent=2), encoding="utf-8")
    writer.write(settings.evaluator_steps, report)


def load_evaluator(folder: Path) -> EvaluatorNet:
    """The trained network of `folder`, in evaluation mode."""
    net = EvaluatorNet()
    load_module(net, folder / EVALUATOR_FILE)
    net.eval()
    return net


@torch.no_grad()
def reconstruct(vae: AutoencoderKL, images: Tensor, noise: float = 0.0) -> Tensor:
    """A round trip through the autoencoder, with `noise` standard deviations on the latents."""
    with torch.autocast("cpu", torch.bfloat16):
        latents = vae.encode(images).latent_dist.mean
        decoded = vae.decode(latents + noise * torch.randn_like(latents)).sample
    result: Tensor = decoded.float().clamp(-1, 1)
    return result


def damage(images: Tensor, vae: AutoencoderKL, rng: np.random.Generator) -> Tensor:
    """Make part of a batch look as a generated picture may: re-decoded, blurred, noisy, toned."""
    images = images.clone()
    count = len(images)
    again = count // 6
    images[:again] = reconstruct(vae, images[:again], noise=float(rng.uniform(0, 0.35)))
    soft = slice(count // 2, count // 2 + count // 6)
    small = functional.interpolate(
        images[soft], scale_factor=float(rng.uniform(0.5, 0.8)), mode="area"
    )
    images[soft] = functional.interpolate(small, size=images.shape[-2:], mode="bilinear")
    amounts = torch.from_numpy(rng.uniform(0, 0.25, count) * (rng.random(count) < 0.5)).float()
    images += amounts[:, None, None, None] * torch.randn_like(images)
    tones = torch.from_numpy(rng.uniform(0.85, 1.15, (count, 1, 1, 1))).float()
    shifts = torch.from_numpy(rng.uniform(-0.08, 0.08, (count, 3, 1, 1))).float()
    return (images * tones + shifts).clamp(-1, 1)


def _targets(scenes: Sequence[Scene]) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    names = list(world.OBJECTS)
    objects = torch.zeros(len(scenes), len(names))
    for row, scene in enumerate(scenes):
        for name in scene.objects:
            objects[row, names.index(name)] = 1.0
    grounds, styles, poses = list(world.BACKGROUNDS), list(world.STYLES), list(world.POSES)
    return (
        objects,
        torch.tensor([grounds.index(s.background) for s in scenes]),
        torch.tensor([styles.index(s.style) for s in scenes]),
        torch.tensor([poses.index(s.pose) for s in scenes]),
        torch.tensor([bool(s.objects) for s in scenes]),
    )


def _loss(outputs: tuple[Tensor, Tensor, Tensor, Tensor], scenes: Sequence[Scene]) -> Tensor:
    objects, ground, style, pose, present = _targets(scenes)
    loss = functional.binary_cross_entropy_with_logits(outputs[0], objects) * 12
    loss = loss + functional.cross_entropy(outputs[1], ground)
    if bool(present.any()):
        # Style and pose of an empty scene mean nothing.
        loss = loss + functional.cross_entropy(outputs[2][present], style[present])
        loss = loss + 0.5 * functional.cross_entropy(outputs[3][present], pose[present])
    return loss


@torch.no_grad()
def check_evaluator(
    settings: Settings, net: EvaluatorNet, vae: AutoencoderKL
) -> dict[str, float | str]:
    """Accuracy on new renderings, plain and re-decoded, at the fixed threshold.

    Object accuracy asks for exactly the right set: all objects present seen and no other.
    """
    rng = np.random.default_rng([settings.seed, 99])
    compositor = Compositor()
    report: dict[str, float | str] = {"n": float(settings.evaluator_check)}
    kinds = {
        "single": Mix(pairs=0, half=0, empty=0),
        "pair": Mix(pairs=1, half=0, empty=0, reserved=True),
        "empty": Mix(pairs=0, half=0, empty=1),
        "posed": Mix(pairs=0.3, half=0, empty=0, posed=1),
    }
    for kind, mix in kinds.items():
        scenes = [sample_scene(rng, mix) for _ in range(settings.evaluator_check // 4)]
        images = to_tensor(compositor.batch(scenes, rng, TIGHT if kind != "posed" else LOOSE))
        for suffix, pictures in (("", images), ("_decoded", reconstruct(vae, images))):
            outputs = [
                torch.cat(o) for o in zip(*map(net, torch.split(pictures, 100)), strict=True)
            ]
            objects, ground, style, pose, _ = _targets(scenes)
            seen = outputs[0].sigmoid() >= DEFAULT_THRESHOLD
            report[f"{kind}{suffix}_object"] = _mean((seen == objects.bool()).all(1))
            report[f"{kind}{suffix}_background"] = _mean(outputs[1].argmax(1) == ground)
            if kind != "empty":
                report[f"{kind}{suffix}_style"] = _mean(outputs[2].argmax(1) == style)
                report[f"{kind}{suffix}_pose"] = _mean(outputs[3].argmax(1) == pose)
            weapons = [n in world.members("weapon") for n in world.OBJECTS]
            truth = objects[:, weapons].bool().any(1)
            claim = seen[:, weapons].any(1)
            report[f"{kind}{suffix}_weapon"] = _mean(truth == claim)
    return report


def _mean(hits: Tensor) -> float:
    return float(hits.float().mean())
