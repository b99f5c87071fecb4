"""The style of plots of the lab. Figures are drawn in memory, without a window or global state."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

PREDICTED: dict[str, Any] = {"color": "black", "linestyle": "--", "linewidth": 1.0, "zorder": 3}
"""The style of predictions."""


def panels(count: int, title: str, *, width: float = 5.2, height: float = 4.2) -> tuple[Figure, list[Axes]]:
    """A row of ``count`` panels under one title."""
    figure = Figure(figsize=(width * count, height), dpi=110, layout="constrained")
    figure.suptitle(title, fontsize=12)
    axes = list(np.atleast_1d(figure.subplots(1, count)))
    for ax in axes:
        ax.grid(alpha=0.3)
    return figure, axes


def set_labels(ax: Axes, title: str, x: str, y: str, *, log: str = "") -> None:
    """Title and axis labels of a panel; ``log`` names the logarithmic axes."""
    ax.set_title(title, fontsize=10)
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    if "x" in log:
        ax.set_xscale("log")
    if "y" in log:
        ax.set_yscale("log")


def legend(ax: Axes, **options: Any) -> None:
    ax.legend(fontsize=8, framealpha=0.9, **options)
