"""Textual inversion as the widely used training scripts do it, written from their description.

The placeholder becomes one more row of the text encoder's embedding table. The optimiser has the
whole table as its parameter, weight decay included, so that every row is put back after each step
but the new one. Pictures go through the VAE in every step.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class LiteralInversion:
    """One run.

    Args:
        pipe: a Stable Diffusion pipeline; its text encoder is copied, its other networks frozen.
        pictures: `[n, 3, height, width]` in -1..1.
        init: the word whose row is the start.
        templates: what is said of a picture, `{}` where the placeholder stands.
        rate: the learning rate.
        mixed: whether the text encoder computes in bfloat16 from weights in float32, as it does
            where the other networks are in bfloat16.
    """

    def __init__(
        self,
        pipe: Any,
        pictures: Tensor,
        init: str,
        templates: Sequence[str],
        *,
        rate: float = 5e-4,
        mixed: bool = False,
    ) -> None:
        self._pipe, self._pictures, self._templates = pipe, pictures, tuple(templates)
        self._mixed, self._init = mixed, init
        self._word = int(pipe.tokenizer(init, add_special_tokens=False).input_ids[0])
        for module in (pipe.unet, pipe.vae):
            module.eval().requires_grad_(False)
        self.encoder = copy.deepcopy(pipe.text_encoder).float()
        table = self.encoder.get_input_embeddings()
        self._new = int(table.weight.shape[0])
        self.encoder.resize_token_embeddings(self._new + 1, mean_resizing=False)
        self.encoder.requires_grad_(False).train()
        self.weight = self.encoder.get_input_embeddings().weight
        with torch.no_grad():
            self.weight[self._new] = self.weight[self._word]
        self.weight.requires_grad_(True)
        self._before = self.weight.detach().clone()
        self._others = torch.ones(len(self.weight), dtype=torch.bool, device=self.weight.device)
        self._others[self._new] = False
        self.optimizer = torch.optim.AdamW(
            [self.weight], lr=rate, betas=(0.9, 0.999), weight_decay=1e-2, eps=1e-8
        )
        self._random = torch.Generator().manual_seed(0)
        self._done = 0

    @property
    def row(self) -> Tensor:
        """What has been learnt, `[dim]`."""
        return self.weight[self._new].detach()

    def step(self, batch: int) -> dict[str, float]:
        """One step; returns processor seconds by part."""
        laps: dict[str, float] = {}
        since = time.process_time()

        def lap(name: str) -> None:
            nonlocal since
            now = time.process_time()
            laps[name], since = now - since, now

        numbers = [(self._done * batch + i) % len(self._pictures) for i in range(batch)]
        latents = self._encoded(self._pictures[numbers])
        lap("vae")
        noise = torch.randn(latents.shape, generator=self._random).to(latents)
        scheduler = self._pipe.scheduler
        most = scheduler.config.num_train_timesteps
        times = torch.randint(0, most, (batch,), generator=self._random).to(latents.device)
        noisy = scheduler.add_noise(latents, noise, times)
        device = latents.device.type
        with torch.autocast(device, torch.bfloat16, enabled=self._mixed):
            states = self.encoder(self._ids(batch).to(latents.device))[0]
        lap("text encoder")
        unet = self._pipe.unet
        predicted = unet(noisy, times, states.to(unet.dtype)).sample
        lap("unet")
        loss = torch.nn.functional.mse_loss(predicted.float(), noise.float())
        loss.backward()
        lap("backward")
        self.optimizer.step()
        self.optimizer.zero_grad()
        lap("optimiser")
        with torch.no_grad():
            self.weight[self._others] = self._before[self._others]
        lap("rows put back")
        self._done += 1
        return laps

    def state_bytes(self) -> int:
        """Bytes that the optimiser keeps."""
        kept = self.optimizer.state[self.weight].values()
        return sum(value.nbytes for value in kept if isinstance(value, Tensor))

    def _encoded(self, pixels: Tensor) -> Tensor:
        vae = self._pipe.vae
        found = vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist.sample().detach()
        latents: Tensor = found * vae.config.scaling_factor
        return latents

    def _ids(self, batch: int) -> Tensor:
        said = [self._templates[(self._done + i) % len(self._templates)] for i in range(batch)]
        tokenizer = self._pipe.tokenizer
        texts = [text.replace("{}", self._init) for text in said]
        ids: Tensor = tokenizer(
            texts, padding="max_length", truncation=True, return_tensors="pt"
        ).input_ids
        return torch.where(ids == self._word, self._new, ids)
