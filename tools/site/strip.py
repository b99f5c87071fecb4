"""Draws samples of five shipped models side by side: the picture at the top of the start page.

    python tools/site/strip.py

writes docs/samples.png. Not selected: the first samples of seed 0.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib
import networkx
import torch
from gancore_graph import networkx_graphs
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from PIL import Image

import gancore

ROOT = Path(__file__).resolve().parents[2]
WRAP = 27
"""Characters of a line of text."""


def sounds(axes: Axes) -> str:
    """Spectrograms, a row of three over a row of three; time to the right, frequency upwards, 60 dB."""
    model = "audio/percussion"
    waves = gancore.load(model).sample(6, seed=0).data[:, 0]
    spectra = torch.stft(waves, 256, 64, window=torch.hann_window(256), return_complex=True).abs()
    levels = 20 * torch.log10(spectra[:, :, :64] + 1e-4)
    levels = levels - levels.amax((1, 2), keepdim=True)
    rows = [torch.cat([*levels.flip(1)[start : start + 3]], 1) for start in (0, 3)]
    axes.imshow(torch.cat(rows), aspect="auto", cmap="magma", vmin=-60, vmax=0)
    return model


def pictures(axes: Axes) -> str:
    model = "image/fashion"
    images = gancore.load(model).sample(25, seed=0).data[:, 0]
    axes.imshow(images.view(5, 5, 32, 32).transpose(1, 2).reshape(160, 160), cmap="gray", vmin=-1, vmax=1)
    return model


def texts(axes: Axes) -> str:
    model = "text/captions-relgan"
    folder = ROOT / "build/strip"
    files = gancore.generate(model, n=6, seed=0, out=folder, overwrite=True)
    lines = next(file for file in files if file.suffix == ".txt").read_text().splitlines()
    for number, line in enumerate(lines[:6]):
        axes.text(
            0.04, 0.95 - 0.158 * number, wrapped(line), fontsize=6.6, va="top", transform=axes.transAxes
        )
    return model


def wrapped(line: str) -> str:
    """At most two lines of text."""
    words, lines = line.split(), [""]
    for word in words:
        longer = f"{lines[-1]} {word}".strip()
        lines = [*lines[:-1], longer] if len(longer) <= WRAP else [*lines, word]
    return "\n".join(lines[:2]) + (" ..." if len(lines) > 2 else "")


def graph(axes: Axes) -> str:
    model = "graph/les-miserables"
    network = networkx_graphs(gancore.load(model).sample(1, seed=0))[0]
    place = networkx.spring_layout(network, seed=1, k=0.32)
    networkx.draw_networkx_edges(network, place, ax=axes, width=0.4, edge_color="tab:gray")
    networkx.draw_networkx_nodes(network, place, ax=axes, node_size=7, node_color="tab:blue")
    return model


def points(axes: Axes) -> str:
    model = "synthetic/ring"
    axes.scatter(*gancore.load(model).sample(1000, seed=0).data.T, s=0.6, color="tab:red")
    axes.set(xlim=(-1.5, 1.5), ylim=(-1.5, 1.5))
    return model


def main() -> None:
    """Draw all in one row."""
    matplotlib.use("agg")
    figure, row = plt.subplots(1, 5, figsize=(10, 2.3), layout="constrained")
    for axes, draw in zip(row, (sounds, pictures, texts, graph, points), strict=True):
        model = draw(axes)
        axes.set(xticks=[], yticks=[])
        axes.set_title(model, fontsize=8)
        axes.set_box_aspect(1)
        for side in axes.spines.values():
            side.set_color("lightgray")
    place = ROOT / "docs/samples.png"
    figure.savefig(place, dpi=150)
    Image.open(place).convert("RGB").quantize(128).save(place, optimize=True)  # a third of the size


if __name__ == "__main__":
    main()
