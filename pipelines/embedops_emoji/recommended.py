"""Settings of the learning methods that suit the embedded model, chosen by measurement.

Its vectors are few and short, so rates are higher than those that suit Stable Diffusion. Rates were
chosen on the teapot and the octopus; steps are those after which `benchmarks/learning.py`, on other
subjects, finds no more to gain.
"""

from __future__ import annotations

from typing import Any

_SHARED: dict[str, Any] = {"vectors": 3, "batch": 4, "templates": ["a {}"]}

LEARNING: dict[str, dict[str, Any]] = {
    "textual-inversion": {**_SHARED, "steps": 450, "rate": 0.005},
    "cross-init": {**_SHARED, "steps": 300, "rate": 0.1},
    "cones": {**_SHARED, "steps": 150, "rate": 0.1},
    "detex": {
        **_SHARED,
        "steps": 75,
        "overlay_rate": 0.002,
        "scene": "{} {pose} {background}",
    },
}
"""By method; the text encoder's config carries it, where `embedops.learn` looks for it."""
