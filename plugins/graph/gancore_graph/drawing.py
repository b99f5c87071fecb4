"""Pictures of graphs, all with one layout, beside their degrees and those of the data."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from gancore import Samples, Spec
from gancore.text import escape_unprintable
from gancore_graph.canonical import edges_of
from gancore_graph.graph import Ints, adjacency
from gancore_graph.layout import find_layout

MOST_GRAPHS, MOST_SIDE_BY_SIDE, MOST_EDGES = 3, 8, 4000
"""Graphs in a picture, also of those that belong side by side, and edges drawn of each."""
INCHES = 3.2


def draw_graphs(samples: Samples) -> Image.Image:
    """A few graphs side by side, and the degrees of all samples beside those of train, on log scales."""
    count = samples.overview_count(MOST_GRAPHS, MOST_SIDE_BY_SIDE)
    figure = Figure(figsize=(INCHES * (count + 1), INCHES), dpi=100, layout="constrained")
    axes = figure.subplots(1, count + 1, squeeze=False)[0]
    for row, title in enumerate(samples.titles()[:count]):
        edges, nodes = edges_of(samples.data, row), int(samples.data["nodes"][row])
        _draw_graph(axes[row], edges, nodes, samples.spec, escape_unprintable(title))
    _draw_degrees(axes[count], samples)
    file = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(file, format="png")
    return Image.open(file).convert("RGB")


def _draw_graph(axes: Axes, edges: Ints, nodes: int, spec: Spec, title: str) -> None:
    layout = _layout(edges, nodes, spec)
    shown = edges[:: -(-len(edges) // MOST_EDGES)] if len(edges) else edges
    axes.set_axis_off()
    said = f"{len(edges):,} edges" if len(shown) == len(edges) else f"{len(shown):,} of {len(edges):,} edges"
    axes.set_title(f"{title} {said}".strip(), fontsize=8)
    if layout is None:
        axes.text(0.5, 0.5, "too large to draw", ha="center", transform=axes.transAxes, fontsize=8)
        return
    width = min(1.0, 12 / np.sqrt(len(shown) + 1))
    axes.add_collection(LineCollection(list(layout[shown]), linewidths=width, colors="#3b6ea5", alpha=0.6))
    axes.plot(layout[:, 0], layout[:, 1], ".", color="#1b2a41", markersize=min(5.0, 40 / np.sqrt(nodes + 1)))


def _layout(edges: Ints, nodes: int, spec: Spec) -> NDArray[np.float32] | None:
    """That of train where graphs share their nodes; else one of the graph itself."""
    if spec["graphs"] == 1 and "layout" in spec and len(spec["layout"]) == nodes:
        kept: NDArray[np.float32] = spec["layout"].cpu().numpy()
        return kept
    return None if spec["graphs"] == 1 or nodes < 1 else find_layout(adjacency(edges, nodes))


def _draw_degrees(axes: Axes, samples: Samples) -> None:
    fake = np.zeros(1, dtype=np.int64)
    for row in range(len(samples)):
        counts = np.bincount(np.bincount(edges_of(samples.data, row).ravel()))
        total = np.zeros(max(len(fake), len(counts)), dtype=np.int64)
        total[: len(fake)] += fake
        total[: len(counts)] += counts
        fake = total
    real = samples.spec["degree_counts"].cpu().numpy()
    for counts, name, style in ((real, "train", "o"), (fake, "samples", "x")):
        degrees = np.flatnonzero(counts[1:]) + 1
        if len(degrees):
            axes.loglog(degrees, counts[degrees] / counts[1:].sum(), style, markersize=3, label=name)
    axes.set_xlabel("degree", fontsize=8)
    axes.set_title("share of nodes", fontsize=8)
    axes.tick_params(labelsize=7)
    if axes.lines:
        axes.legend(fontsize=7)
