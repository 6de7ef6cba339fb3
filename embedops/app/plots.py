"""Plots that read well on light and dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from embedops.app import labels

_GREY = "#8a909c"
_LINE = "rgba(138, 144, 156, 0.25)"
COLOURS = ("#6a70dc", "#d9722e", "#2a9d74", "#b3589a", "#8a909c")
"""Told apart also by people who see few colours; every series has a shape of its own besides."""
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "x")


def figure(across: str, up: str, *, height: int = 340, log: bool = False) -> Any:
    """An empty figure with named axes."""
    made = go.Figure()
    axis = {"gridcolor": _LINE, "zerolinecolor": _LINE, "linecolor": _LINE, "automargin": True}
    made.update_layout(
        height=height,
        margin={"l": 8, "r": 16, "t": 44, "b": 76},
        paper_bgcolor="rgba(0, 0, 0, 0)",
        plot_bgcolor="rgba(0, 0, 0, 0)",
        font={"color": _GREY, "size": 12},
        xaxis={**axis, "title": across},
        yaxis={
            **axis,
            "title": up,
            "rangemode": "normal" if log else "tozero",
            "type": "log" if log else "linear",
        },
        legend={"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0},
        hoverlabel={"align": "left"},
    )
    return made


def spectrum(series: Mapping[str, Sequence[float]]) -> Any:
    """Singular values, largest first, a line a matrix; those named `… after` are dashed."""
    made = figure("direction, strongest first", "singular value", log=True)
    names = list(dict.fromkeys(name.removesuffix(" after") for name in series))
    for name, values in series.items():
        number = names.index(name.removesuffix(" after")) % len(COLOURS)
        after = name.endswith(" after")
        shown = [value for value in values if value > 1e-6 * max(values)]
        made.add_scatter(
            x=list(range(1, len(shown) + 1)),
            y=shown,
            name=name,
            mode="lines+markers",
            line={"color": COLOURS[number], "dash": "dot" if after else "solid", "width": 2},
            marker={"symbol": SYMBOLS[number] + ("-open" if after else ""), "size": 7},
        )
    return made


def curves(steps: Sequence[int], loss: Sequence[float], checks: Mapping[int, float]) -> Any:
    """The loss of each step, and of the checks on fixed noise."""
    made = figure("step", "", height=270)
    made.update_yaxes(rangemode="normal")
    made.add_scatter(
        x=list(steps),
        y=list(loss),
        name="each step",
        mode="lines",
        line={"color": _GREY, "width": 1},
    )
    made.add_scatter(
        x=list(checks),
        y=list(checks.values()),
        name="on fixed noise",
        mode="lines+markers",
        line={"color": COLOURS[0], "width": 2.5},
        marker={"symbol": SYMBOLS[1], "size": 8},
    )
    return made


def lengths(steps: Sequence[int], norm: Sequence[float], moved: Sequence[float]) -> Any:
    """How long the vectors are, and how far from where they began."""
    made = figure("step", "", height=270)
    for number, (name, values) in enumerate((("norm", norm), ("moved", moved))):
        made.add_scatter(
            x=list(steps),
            y=list(values),
            name=name,
            mode="lines",
            line={
                "color": COLOURS[number],
                "width": 2,
                "dash": "solid" if number == 0 else "dash",
            },
        )
    return made


def places(points: Mapping[str, Mapping[str, tuple[float, float]]]) -> Any:
    """A map: per kind of text its points by name. Kinds differ in colour and in shape."""
    made = figure("", "", height=560)
    texts = [_short(text) for named in points.values() for text in named]
    spots = [place for named in points.values() for place in named.values()]
    where = iter(labels.positions(spots, texts))
    for number, (kind, named) in enumerate(points.items()):
        made.add_scatter(
            x=[place[0] for place in named.values()],
            y=[place[1] for place in named.values()],
            text=[_short(text) for text in named],
            customdata=list(named),
            name=kind,
            mode="markers+text",
            textposition=[next(where) for _ in named],
            textfont={"size": 11},
            hovertemplate="%{customdata}<extra>" + kind + "</extra>",
            marker={
                "color": COLOURS[number % len(COLOURS)],
                "symbol": SYMBOLS[number % len(SYMBOLS)],
                "size": 11 if number < 2 else 8,
            },
        )
    made.update_xaxes(showticklabels=False, zeroline=False, showgrid=False)
    made.update_yaxes(showticklabels=False, zeroline=False, showgrid=False)
    return made


def _short(text: str, longest: int = 26) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
