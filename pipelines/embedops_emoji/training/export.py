"""Stage `export`: the trained parts as one diffusers folder in half precision."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import save_file
from torch import nn

from embedops_emoji import world
from embedops_emoji.evaluator import DEFAULT_THRESHOLD, EVALUATOR_FOLDER
from embedops_emoji.training.evaluator_training import CHECK_FILE, load_evaluator
from embedops_emoji.training.settings import Settings
from embedops_emoji.training.support import load_module
from embedops_emoji.training.text_training import load_mini_clip, load_text
from embedops_emoji.training.unet_training import UNET_FILE, build_scheduler, build_unet
from embedops_emoji.training.vae_training import load_vae

IMAGE_ENCODER_FOLDER = "image_encoder"
LOG_FILE = "training_log.jsonl"


def build_pipeline(settings: Settings, folder: Path) -> StableDiffusionPipeline:
    """Assemble the pipeline from the stages' files, in float32."""
    tokenizer, encoder = load_text(settings, folder)
    unet = build_unet(settings)
    load_module(unet, folder / UNET_FILE)
    unet.eval()
    return StableDiffusionPipeline(
        vae=load_vae(settings, folder),
        text_encoder=encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def export(settings: Settings, folder: Path, log: Path, target: Path) -> None:
    """Write the model folder `target`: pipeline, evaluator, image encoder, training log.

    Every file is replaced atomically, so that a process that loads the folder meanwhile gets a
    whole file, old or new.
    """
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".export-") as scratch:
        home = Path(scratch)
        pipe = build_pipeline(settings, folder).to(torch.float16)
        pipe.save_pretrained(home, safe_serialization=True)
        _load_in_single(home / "text_encoder" / "config.json")
        _save_half(load_evaluator(folder), home / EVALUATOR_FOLDER)
        _write_json(
            home / EVALUATOR_FOLDER / "config.json",
            {
                "objects": list(world.OBJECTS),
                "backgrounds": list(world.BACKGROUNDS),
                "styles": list(world.STYLES),
                "poses": list(world.POSES),
                "threshold": DEFAULT_THRESHOLD,
                "check": json.loads((folder / CHECK_FILE).read_text(encoding="utf-8")),
            },
        )
        _save_half(load_mini_clip(settings, folder), home / IMAGE_ENCODER_FOLDER)
        _write_json(
            home / IMAGE_ENCODER_FOLDER / "config.json",
            {"text_width": settings.text_width, "projection": settings.text_width},
        )
        if log.is_file():
            shutil.copyfile(log, home / LOG_FILE)
        for path in sorted(p for p in home.rglob("*") if p.is_file()):
            destination = target / path.relative_to(home)
            destination.parent.mkdir(parents=True, exist_ok=True)
            path.chmod(0o644)
            path.replace(destination)


def _load_in_single(config: Path) -> None:
    """Let transformers load in float32 where no dtype is given, as diffusers loads the rest."""
    settings = json.loads(config.read_text(encoding="utf-8"))
    _write_json(config, {**settings, "dtype": "float32"})


def _save_half(module: nn.Module, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    state = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in module.state_dict().items()
    }
    save_file(state, folder / "model.safetensors")


def _write_json(path: Path, content: dict[str, object]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
