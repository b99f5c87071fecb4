"""The look that the lab's pictures share. No window, no global state: figures are drawn in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

PREDICTED: dict[str, Any] = {"color": "black", "linestyle": "--", "linewidth": 1.0, "zorder": 3}
"""How a prediction is drawn, everywhere."""


def panels(count: int, title: str, *, width: float = 5.2, height: float = 4.2) -> tuple[Figure, list[Axes]]:
    """A row of ``count`` panels under one title."""
    figure = Figure(figsize=(width * count, height), dpi=110, layout="constrained")
    figure.suptitle(title, fontsize=12)
    axes = list(np.atleast_1d(figure.subplots(1, count)))
    for ax in axes:
        ax.grid(alpha=0.3)
    return figure, axes


def label(ax: Axes, title: str, x: str, y: str, *, log: str = "") -> None:
    """Words on a panel; ``log`` names the axes that are logarithmic."""
    ax.set_title(title, fontsize=10)
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    if "x" in log:
        ax.set_xscale("log")
    if "y" in log:
        ax.set_yscale("log")


def legend(ax: Axes, **options: Any) -> None:
    ax.legend(fontsize=8, framealpha=0.9, **options)


def bars_and_dots(
    ax: Axes, names: Sequence[str], predicted: Sequence[float], measured: Sequence[float]
) -> None:
    """For each name a grey bar at what was predicted and a dot at what was measured, from top to bottom."""
    places = np.arange(len(names))
    ax.scatter(predicted, places, marker="|", s=260, color="black", linewidth=1.5, label="predicted")
    ax.scatter(measured, places, s=22, color="tab:red", zorder=3, label="measured")
    ax.set_yticks(places, names, fontsize=8)
    ax.invert_yaxis()
    legend(ax)
