"""Concepts on disk: our own format, and the embedding files of other tools.

Ours is safetensors with versioned metadata. A concept of one text encoder, of vectors alone, is one
tensor named like the token: what diffusers' `load_textual_inversion` reads. SDXL's two are named
`clip_l` and `clip_g`, as other tools name them.
"""

from __future__ import annotations

import json
import os
import pickle
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from embedops.concepts import Concept
from embedops.errors import ConfigError

_FORMAT = "2"
_OVERLAY = "overlay."
_SDXL = {"text_encoder": "clip_l", "text_encoder_2": "clip_g"}
_FOREIGN = {
    **{theirs: ours for ours, theirs in _SDXL.items()},
    "text_encoders_0": "text_encoder",
    "text_encoders_1": "text_encoder_2",
    "t5xxl": "text_encoder_3",
}


def save(concept: Concept, path: Path) -> Path:
    """Write `concept`, whole or not at all.

    Raises:
        ConfigError: the folder is not there, cannot be written, or is full.
    """
    tensors = {_vector_name(concept, n): rows for n, rows in concept.vectors.items()}
    tensors |= {f"output.{n}": rows for n, rows in concept.outputs.items()}
    for number, vectors in enumerate(concept.parts.values()):
        tensors |= {f"part.{number}.{n}": rows for n, rows in vectors.items()}
    tensors |= {f"{_OVERLAY}{n}": matrix for n, matrix in concept.overlay.items()}
    about = {
        "format": "pt",
        "embedops.format": _FORMAT,
        "embedops.token": concept.token,
        "embedops.streams": json.dumps(list(concept.vectors)),
        "embedops.said": concept.said,
        "embedops.parts": json.dumps(list(concept.parts)),
        "embedops.marks": json.dumps({n: list(m) for n, m in concept.marks.items()}),
        "embedops.origin": json.dumps(dict(concept.origin)),
    }
    beside = None
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
        os.close(handle)
        beside = Path(name)
        save_file(
            {n: t.detach().cpu().contiguous().clone() for n, t in tensors.items()}, beside, about
        )
        beside.chmod(0o644)
        beside.replace(path)
    except (OSError, SafetensorError) as error:
        if beside is not None:
            beside.unlink(missing_ok=True)
        raise ConfigError(
            f"the concept {concept.token!r} cannot be written to {path}: {error}. Choose another "
            f"folder, or make room; nothing was changed there."
        ) from error
    return path


def load(path: Path, token: str | None = None) -> Concept:
    """Read a concept, or an embedding file of diffusers, A1111 or kohya.

    Raises:
        ConfigError: the file holds no embedding, or is of a newer format.
    """
    tensors, about = _read(path)
    if "embedops.format" not in about:
        return _foreign(path, tensors, token)
    if about["embedops.format"] != _FORMAT:
        raise ConfigError(
            f"{path} is a concept of format {about['embedops.format']!r}, and this version reads "
            f"format {_FORMAT!r}. Use the version of embedops that wrote it."
        )
    try:
        named, streams = about["embedops.token"], json.loads(about["embedops.streams"])
        parts = json.loads(about["embedops.parts"])
        single = {streams[0]: tensors[named]} if named in tensors else {}
        return Concept(
            token=token or named,
            vectors=single or {n: tensors[_stream_name(n, len(streams))] for n in streams},
            outputs={n: tensors[f"output.{n}"] for n in streams if f"output.{n}" in tensors},
            said=about["embedops.said"],
            marks={n: tuple(m) for n, m in json.loads(about["embedops.marks"]).items()},
            parts={
                part: {n: tensors[key] for n in streams if (key := f"part.{k}.{n}") in tensors}
                for k, part in enumerate(parts)
            },
            overlay={
                key.removeprefix(_OVERLAY): tensor
                for key, tensor in tensors.items()
                if key.startswith(_OVERLAY)
            },
            origin=json.loads(about["embedops.origin"]),
        )
    except (KeyError, json.JSONDecodeError) as error:
        raise ConfigError(f"{path} is a damaged concept: {error!r} is missing.") from error


def _vector_name(concept: Concept, stream: str) -> str:
    # Another tool would take the rows of a file with more than vectors for all of the concept.
    alone = not (concept.outputs or concept.parts or concept.overlay)
    if alone and len(concept.vectors) == 1:
        return concept.token
    return _stream_name(stream, len(concept.vectors))


def _stream_name(stream: str, count: int) -> str:
    return _SDXL.get(stream, f"input.{stream}") if count > 1 else f"input.{stream}"


def _read(path: Path) -> tuple[dict[str, Any], Mapping[str, str]]:
    if not path.is_file():
        raise ConfigError(f"{path} is no file. Give a concept that was saved before.")
    if path.suffix in (".bin", ".pt", ".pth"):
        try:
            return torch.load(path, map_location="cpu", weights_only=True), {}
        except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
            raise ConfigError(
                f"{path} cannot be read as tensors alone: {error}. Files that need code to be run "
                f"are refused; ask for it as safetensors."
            ) from error
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            return {name: file.get_tensor(name) for name in file.keys()}, about  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise ConfigError(f"{path} cannot be read as safetensors: {error}.") from error


def _foreign(path: Path, found: Any, token: str | None) -> Concept:
    name, vectors = _understood(found)
    if not vectors:
        held = ", ".join(map(str, found))[:200] if isinstance(found, dict) else type(found).__name__
        raise ConfigError(
            f"{path} holds no embedding that is known: it has {held or 'nothing'}. Expected "
            f"a concept of embedops, or an embedding of diffusers, A1111 or kohya."
        )
    rows = {n: (t[None] if t.ndim == 1 else t).float() for n, t in vectors.items()}
    return Concept(token or name or f"<{path.stem}>", rows, origin={"file": path.name})


def _understood(found: Any) -> tuple[str | None, dict[str, Tensor]]:
    """The token, where the file says it, and per text encoder the rows; none if not understood."""
    if isinstance(found, Tensor):
        return None, {"text_encoder": found}
    if not isinstance(found, dict):
        return None, {}
    inner = found.get("string_to_param")
    if isinstance(inner, dict) and inner:
        rows = next(iter(inner.values()))
        return found.get("name"), {"text_encoder": rows} if isinstance(rows, Tensor) else {}
    tensors = {n: t for n, t in found.items() if isinstance(t, Tensor) and t.ndim in (1, 2)}
    if tensors and set(tensors) <= set(_FOREIGN):
        return None, {_FOREIGN[n]: t for n, t in tensors.items()}
    if len(tensors) == 1:
        name, rows = next(iter(tensors.items()))
        return (None if name == "emb_params" else name), {"text_encoder": rows}
    return None, {}
