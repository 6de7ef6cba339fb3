"""DETEX at work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

import numpy as np
import torch
from torch import Tensor, nn

from embedops.concepts import Concept, Vectors
from embedops.errors import ConfigError
from embedops.families import Bundle
from embedops.learning.attention import AttentionMaps
from embedops.learning.method import PLACEHOLDER, Ask, Run, Task
from embedops.learning.rows import rows_of_words
from embedops.overlay import Overlay
from embedops.placed import mark
from embedops.placeholders import Placeholders
from embedops_detex.attention_loss import Claim, attention_loss
from embedops_detex.config import BACKGROUND, POSE, DetexConfig
from embedops_detex.features import image_features
from embedops_detex.mappers import AttributeMapper
from embedops_detex.masks import attention_masks

_ATTRIBUTES = ("pose", "background")


class DetexRun(Run):
    """Subject rows, two mappers, and the overlay where there is one.

    Args:
        task: what is learnt.
        config: the method's settings.

    Raises:
        UnsupportedPipelineError: the denoiser has no cross-attention.
        ConfigError: the words or the image encoder cannot be used.
    """

    def __init__(self, task: Task, config: DetexConfig) -> None:
        self._task, self._config = task, config
        layers = task.denoising.cross_attention()
        self._maps = AttentionMaps(layers)
        features, what = image_features(task, config.image_encoder)
        self._device = task.pipe._execution_device
        self._features = features.to(self._device)
        start = rows_of_words(task, config.init, config.vectors)
        self._rows = {n: nn.Parameter(rows.to(self._device)) for n, rows in start.items()}
        self._mappers = nn.ModuleDict(
            {
                attribute: AttributeMapper(
                    features.shape[1], config.hidden, rows_of_words(task, attribute, 1), number
                )
                for number, attribute in enumerate(_ATTRIBUTES)
            }
        ).to(self._device)
        self._additions = _additions(layers, config, task.seed) if config.mode == "overlay" else {}
        self._overlay = Overlay(self._additions)
        self._placeholders = Placeholders(task.pipe, task.adapter.tokenizers())
        self._spots: dict[str, dict[str, list[int]]] = {}
        self._claims: list[Claim] = []
        self._named = torch.zeros(0, 0, dtype=torch.bool)
        try:
            self._placeholders.add(task.token, start)
            for number in range(len(task.pictures)):
                for attribute in _ATTRIBUTES:
                    words = rows_of_words(task, attribute, 1)
                    self._placeholders.add(self._part(attribute, number), words)
            self._check_fits()
            self._overlay.apply(task.denoising.denoiser())
            self._maps.__enter__()
            self._masks, self.notes = self._find_masks(f"The mappers read {what}.")
        except BaseException:
            self.close()
            raise

    def parameters(self) -> Mapping[str, nn.Parameter]:
        found = {f"subject.{name}": rows for name, rows in self._rows.items()}
        found |= {f"mapper.{name}": p for name, p in self._mappers.named_parameters()}
        return found | {f"overlay.{name}": p for name, p in self._additions.items()}

    def vectors(self) -> Mapping[str, Tensor]:
        return self._rows

    def rates(self) -> Mapping[str, float]:
        rates = {"mapper": self._config.mapper_rate, "overlay": self._config.overlay_rate}
        kinds = ((name, name.partition(".")[0]) for name in self.parameters())
        return {name: rates[kind] for name, kind in kinds if kind in rates}

    def ask(self, picture: int, text: str, rng: np.random.Generator) -> Ask:
        """The subject alone with its pixels, or the whole picture with everything in it."""
        if rng.random() < self._config.alone:
            return Ask(text, self._masks[picture])
        return Ask(self._whole(text, picture))

    def at_work(self) -> AbstractContextManager[None]:
        return self._overlay.where(lambda: self._named)

    def read(self, texts: Sequence[str], pictures: Sequence[int]) -> Bundle:
        self._maps.take()
        self._placeholders.put(self._task.token, self._rows)
        # All of them: rows that were left from another step would hold on to its graph.
        for token, vectors in self._attributes().items():
            self._placeholders.put(token, vectors)
        self._claims = [
            claim
            for row, (text, picture) in enumerate(zip(texts, pictures, strict=True))
            for claim in self._claimed(row, text, picture)
        ]
        bundle = self._task.denoising.read(texts)
        self._named = self._places(texts, bundle)
        return bundle

    def penalty(self) -> Tensor | None:
        if not self._config.attention:
            return None
        return self._config.attention * attention_loss(self._maps.take(), self._claims)

    @torch.no_grad()
    def concept(self, origin: Mapping[str, str]) -> Concept:
        parts = {
            token: {name: rows.cpu() for name, rows in vectors.items()}
            for token, vectors in self._attributes().items()
        }
        pictures = ", ".join(f"{n + 1}: {p.name}" for n, p in enumerate(self._task.pictures))
        return Concept(
            self._task.token,
            {name: rows.detach().cpu().clone() for name, rows in self._rows.items()},
            {**origin, "parts": pictures},
            said=self._config.init,
            marks={name: mark(getattr(self._task.pipe, name)) for name in self._rows},
            parts=parts,
            overlay={n: p.detach().cpu().clone() for n, p in self._additions.items()},
        )

    def close(self) -> None:
        self._maps.__exit__(None, None, None)
        self._overlay.remove()
        self._placeholders.clear()

    def _part(self, attribute: str, picture: int) -> str:
        """The placeholder of one picture's pose or background: `<toy-pose-1>` for `<toy>`."""
        token = self._task.token
        inner = token[1:-1] if token.startswith("<") and token.endswith(">") else token
        return f"<{inner}-{attribute}-{picture + 1}>"

    def _whole(self, text: str, picture: int) -> str:
        """`text` with the whole scene where it names the subject."""
        token = self._task.token
        scene = self._config.scene.replace(PLACEHOLDER, token)
        scene = scene.replace(POSE, self._part("pose", picture))
        scene = scene.replace(BACKGROUND, self._part("background", picture))
        start = text.lower().index(token.lower())
        return text[:start] + scene + text[start + len(token) :]

    def _check_fits(self) -> None:
        """Make sure that the encoder reads every placeholder of a scene.

        Raises:
            ConfigError: a scene is cut off before one.
        """
        for template in self._config.templates:
            text = self._whole(template.replace(PLACEHOLDER, self._task.token), 0)
            if len(self._positions(text)) < 1 + len(_ATTRIBUTES):
                raise ConfigError(
                    f"the text encoder does not read to the end of {text!r}. Shorten the template "
                    f"or `scene`, such as scene='{PLACEHOLDER} {POSE} {BACKGROUND}'."
                )

    def _attributes(self) -> dict[str, Vectors]:
        """The rows that the mappers make for each picture's pose and background, by token."""
        made = {attribute: self._mappers[attribute](self._features) for attribute in _ATTRIBUTES}
        return {
            self._part(attribute, number): {name: rows[number] for name, rows in encoders.items()}
            for number in range(len(self._task.pictures))
            for attribute, encoders in made.items()
        }

    def _claimed(self, row: int, text: str, picture: int) -> list[Claim]:
        mask = self._masks[picture]
        where = {
            self._task.token: mask,
            self._part("pose", picture): mask,
            self._part("background", picture): 1 - mask,
        }
        found = self._positions(text)
        return [(row, found[token], part) for token, part in where.items() if found.get(token)]

    def _places(self, texts: Sequence[str], bundle: Bundle) -> Tensor:
        """Bool `[rows, seq]`: where the texts name the subject or an attribute."""
        states = bundle["encoder_hidden_states"]
        length = states[0].shape[0]
        mask = torch.zeros(len(texts), length, dtype=torch.bool, device=states[0].device)
        for row, text in enumerate(texts):
            mask[row, [p for places in self._positions(text).values() for p in places]] = True
        return mask

    def _positions(self, text: str) -> Mapping[str, list[int]]:
        if text not in self._spots:
            # Encoders that are read side by side place their tokens alike.
            self._spots[text] = self._placeholders.positions(text, next(iter(self._rows)))
        return self._spots[text]

    def _find_masks(self, note: str) -> tuple[list[Tensor], tuple[str, ...]]:
        task = self._task
        given = [picture.mask for picture in task.pictures]
        if all(mask is not None for mask in given):
            return [mask for mask in given if mask is not None], (note,)
        text = self._config.templates[0].replace(PLACEHOLDER, task.token)
        spots = self._positions(text)[task.token]
        masks = attention_masks(task, self._maps, text, spots)
        said = f"No masks were given: they are where the model looks for {self._config.init!r}."
        return masks, (note, said)


def _additions(
    layers: Mapping[str, nn.Module], config: DetexConfig, seed: int
) -> dict[str, nn.Parameter]:
    """What keys and values add: nothing at the start, since one factor is zero."""
    generator = torch.Generator().manual_seed(seed)
    found: dict[str, nn.Parameter] = {}
    for path, layer in layers.items():
        for part in ("to_k", "to_v"):
            linear = getattr(layer, part)
            device = linear.weight.device
            rows, columns = linear.out_features, linear.in_features
            if not config.rank:
                found[f"{path}.{part}.delta"] = nn.Parameter(
                    torch.zeros(rows, columns, device=device)
                )
                continue
            down = torch.randn(config.rank, columns, generator=generator) / columns**0.5
            found[f"{path}.{part}.down"] = nn.Parameter(down.to(device))
            found[f"{path}.{part}.up"] = nn.Parameter(torch.zeros(rows, config.rank, device=device))
    return found
