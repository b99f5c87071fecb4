"""Samples as files: tables of points, images; and previews of both."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from gancore import Samples
from gancore_synthetic.distribution import Distribution
from gancore_synthetic.registry import distribution_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from PIL.Image import Image

MESH_SIZE, HISTOGRAM_BINS = 160, 60
N_ARROWS = 24
DENSITY_RANGE_NATS = 14.0
"""Nats below the highest density at which the plot is white."""
MARGIN = 0.15
GAP = 2
PlotLimits = tuple[float, float, float, float]
"""Left, right, bottom, top."""


def preview(samples: Samples) -> Image:
    """Points over the density; images in a grid."""
    if len(samples.spec["shape"]) == 3:
        return image_grid(samples.data, samples.columns)
    distribution = distribution_of(samples.spec)
    limits = plot_limits(distribution)

    def draw(axes: Axes) -> None:
        if distribution.shape == (1,):
            return draw_histogram(axes, distribution, samples.data, limits)
        draw_density(axes, distribution, limits)
        draw_points(axes, samples.data, samples.condition)

    return figure(draw, limits, f"{samples.spec['source']}: {len(samples)} samples")


def image_grid(images: Tensor, columns: int = 0) -> Image:
    """(n, 1, side, side) in [0, 1] in rows, grey; without ``columns`` as square as possible."""
    from PIL import Image

    n, side = len(images), images.shape[-1]
    columns = columns or max(1, math.ceil(math.sqrt(n)))
    rows, cell = max(1, math.ceil(n / columns)), side + GAP
    sheet = np.full((rows * cell + GAP, columns * cell + GAP), 128, dtype=np.uint8)
    for number, grey in enumerate(greys(images)):
        top, left = GAP + number // columns * cell, GAP + number % columns * cell
        sheet[top : top + side, left : left + side] = grey
    scale = max(1, 96 // side)
    return Image.fromarray(sheet).resize(
        (sheet.shape[1] * scale, sheet.shape[0] * scale), Image.Resampling.NEAREST
    )


def greys(images: Tensor) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """(n, 1, side, side) in [0, 1] to (n, side, side) in 0..255."""
    grey = torch.nan_to_num(images[:, 0]).clamp(0, 1) * 255
    return grey.round().to(torch.uint8).numpy()


def plot_limits(distribution: Distribution) -> PlotLimits:
    """A square around nearly all true points, in their first two coordinates."""
    points = distribution.reference_points[:, :2]
    if points.shape[1] == 1:
        points = points.expand(-1, 2)
    low, high = (torch.quantile(points, q, dim=0) for q in (0.005, 0.995))
    middle, half = (low + high) / 2, float((high - low).max()) / 2 * (1 + 2 * MARGIN)
    half = half or 1.0
    x, y = middle.tolist()
    return x - half, x + half, y - half, y + half


def figure(draw: Callable[[Axes], None], limits: PlotLimits, title: str) -> Image:
    """An image of what ``draw`` draws on axes with these limits."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    sheet = Figure(figsize=(5.6, 5.6), dpi=100, layout="constrained")
    canvas, axes = FigureCanvasAgg(sheet), sheet.add_subplot()
    axes.set(xlim=limits[:2], ylim=limits[2:], title=title)
    draw(axes)
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels: Any = canvas
    return Image.fromarray(np.asarray(pixels.buffer_rgba())).convert("RGB")


def mesh(limits: PlotLimits, count: int) -> Tensor:
    """Points of a square mesh, (count * count, 2), float64; rows from the bottom up."""
    x, y = (torch.linspace(limits[i], limits[i + 1], count, dtype=torch.float64) for i in (0, 2))
    across, up = torch.meshgrid(x, y, indexing="xy")
    return torch.stack([across.flatten(), up.flatten()], dim=1)


@lru_cache(maxsize=4)
def density_mesh(distribution: Distribution) -> Tensor:
    """log p within the plot limits, (MESH_SIZE, MESH_SIZE); the same for every preview of a run."""
    return distribution.log_density(mesh(plot_limits(distribution), MESH_SIZE)).view(MESH_SIZE, MESH_SIZE)


def draw_density(axes: Axes, distribution: Distribution, limits: PlotLimits) -> None:
    """The density in grey, or true points if there is no density in the plane."""
    if not distribution.has_density or distribution.shape != (2,):
        points = distribution.reference_points[:2000].numpy()
        axes.scatter(points[:, 0], points[:, 1], s=8, color="0.82", linewidths=0, label="truth")
        return
    values = density_mesh(distribution)
    top = float(values.max())
    axes.imshow(
        values.clamp(min=top - DENSITY_RANGE_NATS).numpy(),
        extent=limits,
        origin="lower",
        cmap="Greys",
        vmax=top + DENSITY_RANGE_NATS / 2,
    )


def draw_points(axes: Axes, points: Tensor, labels: Tensor | None = None) -> None:
    colours: Any = "tab:red" if labels is None else np.asarray(labels) % 10
    size = float(np.clip(3000 / max(1, len(points)), 2, 14))
    options: dict[str, Any] = {"cmap": "tab10", "vmin": 0, "vmax": 9} if labels is not None else {}
    x, y = points[:, :2].T.numpy()
    axes.scatter(x, y, s=size, c=colours, alpha=0.7, linewidths=0, **options)


def draw_histogram(axes: Axes, distribution: Distribution, points: Tensor, limits: PlotLimits) -> None:
    """One coordinate: shares of the samples per unit, and the density as a line."""
    left, right = limits[:2]
    # shares of all points, those outside the limits included
    share = np.full(len(points), HISTOGRAM_BINS / (right - left) / len(points))
    heights, _, _ = axes.hist(
        points[:, 0].numpy(),
        bins=HISTOGRAM_BINS,
        range=(left, right),
        weights=share,
        color="tab:red",
        alpha=0.6,
    )
    x = torch.linspace(left, right, 1000, dtype=torch.float64)
    top = float(np.max(heights))
    if distribution.has_density:
        p = distribution.log_density(x[:, None]).exp()
        axes.plot(x.numpy(), p.numpy(), color="black")
        top = max(top, float(p.max()))
    axes.set_ylim(0, 1.1 * top)


def draw_field(
    value: Callable[[Tensor], Tensor],
    samples: Tensor,
    distribution: Distribution,
    title: str,
    logarithm: bool = False,
) -> Image:
    """Draw a function on the plane: its values as colours, its gradient as arrows.

    The length of an arrow is the square root of the gradient's norm, so that gentle slopes are visible.
    Colours are centred at 0; those of a ``logarithm`` of a density end ``DENSITY_RANGE_NATS`` nats below its
    maximum.
    """
    limits = plot_limits(distribution)
    with torch.no_grad():
        values = value(mesh(limits, MESH_SIZE).float()).double().view(MESH_SIZE, MESH_SIZE)
    arrow_points = mesh(limits, N_ARROWS)
    arrows = _arrows(value, arrow_points)
    most, top = max(float(values.abs().quantile(0.98)), 1e-6), float(values.max())
    colours = (
        ("viridis", top - DENSITY_RANGE_NATS, top, "tab:red") if logarithm else ("RdBu", -most, most, "gold")
    )

    def draw(axes: Axes) -> None:
        cmap, low, high, spot = colours
        mesh_image = axes.imshow(
            values.numpy(), extent=limits, origin="lower", cmap=cmap, vmin=low, vmax=high
        )
        axes.figure.colorbar(mesh_image, ax=axes, shrink=0.8)
        axes.quiver(
            *arrow_points.T.numpy(), *arrows.T.numpy(), color="0.25", scale=N_ARROWS * 0.9, width=0.003
        )
        x, y = distribution.reference_points[:1000].T.numpy()
        axes.scatter(x, y, s=3, color="black", linewidths=0, label="truth")
        x, y = samples.T.numpy()
        axes.scatter(x, y, s=6, c=spot, edgecolors="0.3", linewidths=0.2, label="samples")
        axes.legend(loc="upper right", fontsize=8, markerscale=2)

    return figure(draw, limits, title)


def _arrows(value: Callable[[Tensor], Tensor], points: Tensor) -> Tensor:
    """Gradients scaled to the square root of their norm; the 95 % quantile and above have length 1."""
    arrow_points = points.float().requires_grad_()
    (gradients,) = torch.autograd.grad(value(arrow_points).sum(), arrow_points)
    gradient_norms = gradients.double().norm(dim=1, keepdim=True)
    longest = gradient_norms.quantile(0.95).clamp(min=1e-12)
    result: Tensor = (
        gradients.double() / gradient_norms.clamp(min=1e-12) * (gradient_norms / longest).clamp(max=1).sqrt()
    )
    return result


def write_samples(samples: Samples, folder: Path) -> list[Path]:
    """``samples.npy`` with all samples, and ``overview.png``; points as ``samples.csv``, images each as PNG.

    The same samples always give the same bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = samples.data.detach().float().cpu()
    np.save(folder / "samples.npy", rows.numpy())
    written = [folder / "samples.npy"]
    written += _write_images(samples, folder) if rows.dim() == 4 else [_table(samples, folder)]
    preview(samples).save(folder / "overview.png")
    return [*written, folder / "overview.png"]


def _table(samples: Samples, folder: Path) -> Path:
    """One line per point: its coordinates, and its label if it has one."""
    labels = [] if samples.condition is None else samples.labels()
    names = [f"x{number + 1}" for number in range(samples.data.shape[1])]
    lines = [",".join(names + (["label"] if labels else []))]
    for number, point in enumerate(samples.data.tolist()):
        lines.append(",".join([f"{x:.7g}" for x in point] + labels[number : number + 1]))
    (folder / "samples.csv").write_text("\n".join(lines) + "\n")
    return folder / "samples.csv"


def _write_images(samples: Samples, folder: Path) -> list[Path]:
    from PIL import Image

    written = [folder / f"{stem}.png" for stem in samples.file_stems()]
    for path, grey in zip(written, greys(samples.data), strict=True):
        Image.fromarray(grey).save(path)
    return written
