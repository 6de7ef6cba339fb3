"""Muon for the matrices, Adam for the rest, with gradients shared by several processes.

Muon (K. Jordan et al., 2024) orthogonalises the momentum of a weight matrix by a Newton-Schulz
iteration; a convolution counts as the matrix `[out, in * height * width]`. Its update is scaled as
in Moonlight (arXiv 2502.16982) so that one learning rate fits both parts.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.distributed as dist
from torch import Tensor, nn

_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def orthogonalise(matrix: Tensor, steps: int = 5) -> Tensor:
    """Push all singular values of `matrix` `[rows, columns]` towards 1, in bfloat16."""
    a, b, c = _NEWTON_SCHULZ
    x = matrix.bfloat16()
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    result: Tensor = (x.T if tall else x).float()
    return result


class HybridOptimizer:
    """Muon on hidden matrices, Adam on everything else.

    Each process orthogonalises a share of the matrices and broadcasts the result.

    Args:
        model: its parameters are updated in place.
        rate: peak learning rate; :meth:`step` takes a factor.
        muon: whether to use Muon at all.
        decay: decoupled weight decay of the matrices.
    """

    def __init__(
        self,
        model: nn.Module,
        rate: float,
        muon: bool = True,
        decay: float = 0.01,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.99),
    ) -> None:
        self.rate, self.decay, self.momentum, self.betas = rate, decay, momentum, betas
        self.parameters: dict[str, Tensor] = dict(model.named_parameters())
        self.matrices = [n for n, p in self.parameters.items() if muon and _is_hidden(n, p)]
        hidden = set(self.matrices)
        self.others = [n for n in self.parameters if n not in hidden]
        self.count = 0
        self.state: dict[str, Tensor] = {}
        for name in self.matrices:
            self.state[f"momentum.{name}"] = torch.zeros_like(self.parameters[name])
        for name in self.others:
            self.state[f"first.{name}"] = torch.zeros_like(self.parameters[name])
            self.state[f"second.{name}"] = torch.zeros_like(self.parameters[name])

    @torch.no_grad()
    def step(self, factor: float, clip: float = 1.0) -> float:
        """Average gradients over processes, clip, update, clear them.

        Returns:
            The gradient norm before clipping.
        """
        ranks = dist.get_world_size() if dist.is_initialized() else 1
        grads = {n: p.grad for n, p in self.parameters.items() if p.grad is not None}
        if ranks > 1:
            flat = torch.cat([g.reshape(-1) for g in grads.values()])
            dist.all_reduce(flat)
            flat /= ranks
            parts = torch.split(flat, [g.numel() for g in grads.values()])
            for grad, part in zip(grads.values(), parts, strict=True):
                grad.copy_(part.view(grad.shape))
        norm = torch.stack([g.norm() for g in grads.values()]).norm()
        shrink = float(torch.clamp(clip / (norm + 1e-6), max=1.0))
        torch._foreach_mul_(list(grads.values()), shrink)
        self.count += 1
        self._adam(grads, self.rate * factor)
        self._muon(grads, self.rate * factor, ranks)
        for parameter in self.parameters.values():
            parameter.grad = None
        return float(norm)

    def _adam(self, grads: Mapping[str, Tensor], rate: float) -> None:
        names = [n for n in self.others if n in grads]
        first = [self.state[f"first.{n}"] for n in names]
        second = [self.state[f"second.{n}"] for n in names]
        gradients = [grads[n] for n in names]
        one, two = self.betas
        torch._foreach_lerp_(first, gradients, 1 - one)
        torch._foreach_mul_(second, two)
        torch._foreach_addcmul_(second, gradients, gradients, 1 - two)
        scale = (1 - two**self.count) ** 0.5
        denominators = torch._foreach_div(torch._foreach_sqrt(second), scale)
        torch._foreach_add_(denominators, 1e-8)
        parameters = [self.parameters[n] for n in names]
        size = -rate / (1 - one**self.count)
        torch._foreach_addcdiv_(parameters, first, denominators, size)

    def _muon(self, grads: Mapping[str, Tensor], rate: float, ranks: int) -> None:
        rank = dist.get_rank() if ranks > 1 else 0
        names = [n for n in self.matrices if n in grads]
        updates: list[Tensor] = []
        for i, name in enumerate(names):
            momentum = self.state[f"momentum.{name}"]
            momentum.lerp_(grads[name], 1 - self.momentum)
            if i % ranks != rank:
                updates.append(torch.zeros_like(momentum))
                continue
            look_ahead = grads[name].lerp(momentum, self.momentum)
            matrix = look_ahead.flatten(1)
            update = orthogonalise(matrix) * (0.2 * max(matrix.shape) ** 0.5)
            updates.append(update.view(momentum.shape).contiguous())
        if ranks > 1 and names:
            flat = torch.cat([u.reshape(-1) for u in updates])
            dist.all_reduce(flat)
            sizes = [u.numel() for u in updates]
            updates = [
                p.view(u.shape) for p, u in zip(torch.split(flat, sizes), updates, strict=True)
            ]
        for name, update in zip(names, updates, strict=True):
            parameter = self.parameters[name]
            parameter.mul_(1 - rate * self.decay)
            parameter.add_(update, alpha=-rate)


def _is_hidden(name: str, parameter: Tensor) -> bool:
    """Inner weight matrices; first and last layers and time embedding stay with Adam."""
    edge = name.startswith(("conv_in", "conv_out", "time_embedding"))
    return parameter.ndim >= 2 and not edge
