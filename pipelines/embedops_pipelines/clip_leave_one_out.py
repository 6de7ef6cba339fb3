"""Masking each token of a prompt in turn, at a fraction of the cost of encoding each variant.

CLIP's text encoder is causal: masking token `i` leaves every position before `i` as it was. So the
variants are computed from their masked token on, against keys and values of the unmasked prompt:
`n (n + 3) / 2` rows instead of `n (n + 2)`. Two ends are cheaper still. In the first layer
only the masked row's queries, keys and values differ; in the last only EOS is asked for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

_PROJECTIONS = ("q_proj", "k_proj", "v_proj")


@dataclass(frozen=True, eq=False)
class Projected:
    """What one layer's attention projections made of token sequences: `[batch, seq, dim]` each."""

    query: Tensor
    key: Tensor
    value: Tensor

    def row(self, row: int, length: int) -> Projected:
        """The first `length` positions of one sequence, `[1, length, dim]`."""
        return Projected(*(t[row, None, :length] for t in (self.query, self.key, self.value)))


@torch.no_grad()
def pooled_without_each(
    model: Any, ids: Tensor, neutral: int, plain: Sequence[Projected], *, skip: int = 0
) -> Tensor:
    """The state at EOS of a prompt with each content token masked in turn.

    Args:
        model: a `CLIPTextModel`, with or without projection.
        ids: `[n + 2]`: BOS, `n` content tokens, EOS.
        neutral: the token id that masks.
        plain: per layer the projections of `ids` unmasked, `[1, n + 2, dim]`; empty where the
            encoder does not let its layers be called one by one.
        skip: layers left out before the state is read.

    Returns:
        `[n, dim]` in the model's dtype, after the final layer norm where no layer is left out.
    """
    count = ids.shape[0] - 2
    if count == 0 or not plain:
        return _each_in_full(model, ids, neutral, skip)
    model = inner_model(model)
    rows = _Rows.after_each_mask(count, ids.device)
    tokens = torch.where(rows.at_mask, neutral, ids[rows.position])
    states = model.embeddings(
        input_ids=tokens[:, None], position_ids=rows.position[:, None]
    ).squeeze(1)
    last = len(model.encoder.layers) - 1 - skip
    for depth, layer in enumerate(model.encoder.layers[: last + 1]):
        states = _layer(layer, plain[depth], states, rows, first=depth == 0, last=depth == last)
    pooled: Tensor = states if skip else model.final_layer_norm(states)
    return pooled


def inner_model(model: Any) -> Any:
    """The transformer itself: CLIP with projection wraps it."""
    return getattr(model, "text_model", model)


@dataclass(frozen=True, eq=False)
class _Rows:
    """The packed rows: for each variant the positions from its masked token to EOS.

    `variant` and `position` are `[n (n + 3) / 2]`; `at_mask` and `at_end` mark each variant's
    first and last row.
    """

    count: int
    variant: Tensor
    position: Tensor
    at_mask: Tensor
    at_end: Tensor

    @classmethod
    def after_each_mask(cls, count: int, device: torch.device) -> _Rows:
        masked, position = torch.ones(count, count + 1, device=device).triu().nonzero(as_tuple=True)
        return cls(count, masked, position + 1, masked == position, position == count)

    def fill(self, plain: Tensor, where: Tensor, new: Tensor) -> Tensor:
        """`[n, n + 2, dim]`: `plain` `[1, n + 2, dim]` for each variant, with the packed rows
        marked by `where` replaced by `new`."""
        full = plain.repeat(self.count, 1, 1)
        full[self.variant[where], self.position[where]] = new
        return full


def _layer(
    layer: Any, plain: Projected, states: Tensor, rows: _Rows, *, first: bool, last: bool
) -> Tensor:
    """One encoder layer over the packed rows; after the last only the rows at EOS remain."""
    attention = layer.self_attn
    everywhere = torch.ones_like(rows.at_mask)
    changed = rows.at_mask if first else everywhere
    wanted = rows.at_end if last else everywhere
    normed = layer.layer_norm1(states[changed])
    keys = rows.fill(plain.key, changed, attention.k_proj(normed))
    values = rows.fill(plain.value, changed, attention.v_proj(normed))
    if last and not first:
        ends = attention.q_proj(layer.layer_norm1(states[wanted]))
        mixed = _attend(attention, ends[:, None], keys, values, causal=False)[:, 0]
    else:
        queries = rows.fill(plain.query, changed, attention.q_proj(normed))
        mixed = _attend(attention, queries, keys, values, causal=True)
        mixed = mixed[rows.variant[wanted], rows.position[wanted]]
    states = states[wanted] + attention.out_proj(mixed)
    result: Tensor = states + layer.mlp(layer.layer_norm2(states))
    return result


def _attend(
    attention: Any, queries: Tensor, keys: Tensor, values: Tensor, *, causal: bool
) -> Tensor:
    def by_head(x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], -1, attention.head_dim).transpose(1, 2)

    mixed = scaled_dot_product_attention(
        by_head(queries),
        by_head(keys),
        by_head(values),
        is_causal=causal,
        scale=attention.scale,
    )
    return mixed.transpose(1, 2).flatten(2)


class ProjectionLog:
    """Collects what the attention projections of each layer put out."""

    def __init__(self, layers: int) -> None:
        self._layers = layers
        self._outputs: dict[tuple[int, str], Tensor] = {}

    def note(self, depth: int, name: str, output: Tensor) -> None:
        """Keep one projection's output of the forward in progress."""
        self._outputs[depth, name] = output

    def take(self) -> tuple[Projected, ...]:
        """The projections of the forward that just ended, per layer; the log is empty after."""
        outputs, self._outputs = self._outputs, {}
        return tuple(
            Projected(*(outputs[depth, name] for name in _PROJECTIONS))
            for depth in range(self._layers)
        )


@contextmanager
def projections(model: Any) -> Iterator[ProjectionLog]:
    """Log the forwards that this thread makes of `model` inside the block."""
    layers = inner_model(model).encoder.layers
    log, owner, handles = ProjectionLog(len(layers)), threading.get_ident(), []

    def keep(depth: int, name: str) -> Callable[..., None]:
        def note(_module: object, _args: object, output: Tensor) -> None:
            if threading.get_ident() == owner:
                log.note(depth, name, output.detach())

        return note

    try:
        for depth, layer in enumerate(layers):
            for name in _PROJECTIONS:
                module = getattr(layer.self_attn, name)
                handles.append(module.register_forward_hook(keep(depth, name)))
        yield log
    finally:
        for handle in handles:
            handle.remove()


def _each_in_full(model: Any, ids: Tensor, neutral: int, skip: int) -> Tensor:
    """The same through the model's own forward, one row a variant: slower, for any encoder."""
    count = ids.shape[0] - 2
    batch = ids.repeat(count, 1)
    at = torch.arange(count, device=ids.device)
    batch[at, at + 1] = neutral
    if count == 0:
        return torch.empty(0, model.config.hidden_size, dtype=model.dtype, device=ids.device)
    output = model(batch, output_hidden_states=skip > 0)
    states: Tensor = output.hidden_states[-1 - skip] if skip else output.last_hidden_state
    return states[:, -1]


def layers_are_free(model: Any) -> bool:
    """Whether layers may be called one by one: not where offloading moves them as a group."""
    layers = getattr(getattr(inner_model(model), "encoder", None), "layers", None)
    if layers is None or not all(hasattr(layer, "self_attn") for layer in layers):
        return False
    offloaded = ("_hf_hook", "_diffusers_hook")
    return not any(hasattr(m, name) for m in layers.modules() for name in offloaded)
