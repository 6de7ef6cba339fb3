"""Where results are kept, and what is said of the machine that made them."""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers

RESULTS = Path(__file__).parent / "results"


def machine() -> dict[str, Any]:
    """The processor, the libraries, and how busy the machine was."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load_average": round(os.getloadavg()[0], 2),
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "transformers": transformers.__version__,
    }


def write(name: str, results: Mapping[str, Any], about: Mapping[str, Any] | None = None) -> Path:
    """Keep results as JSON beside a description of the machine."""
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"machine": about or machine(), **results}
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def read(name: str) -> dict[str, Any]:
    """Results that `write` kept."""
    content: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return content


def spread(values: Sequence[float]) -> dict[str, float]:
    """The median, and what lies at the ends."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def rate(hits: Sequence[bool]) -> dict[str, float]:
    """A share with its Wilson 95% interval (Wilson, 1927)."""
    count, share, z = len(hits), sum(hits) / len(hits), 1.96
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count**2))
    half /= 1 + z * z / count
    return {
        "share": share,
        "low": max(middle - half, 0.0),
        "high": min(middle + half, 1.0),
        "n": count,
    }
