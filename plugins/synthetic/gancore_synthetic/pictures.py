"""Pictures of points over their density, of polygons side by side, of a field with its arrows."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from gancore.domain import Samples
from gancore_synthetic.truth import Truth, truth_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from PIL.Image import Image

GRID, BINS = 160, 60
ARROWS = 24
DEPTH = 14.0
"""Nats below the highest density at which the ground is white."""
MARGIN = 0.15
GAP = 2
Frame = tuple[float, float, float, float]
"""Left, right, bottom, top."""


def picture(samples: Samples) -> Image:
    """Points over the density; pictures in a grid."""
    if len(samples.spec["shape"]) == 3:
        return contact_sheet(samples.data, samples.columns)
    truth = truth_of(samples.spec)
    frame = frame_of(truth)

    def draw(axes: Axes) -> None:
        if truth.shape == (1,):
            return draw_histogram(axes, truth, samples.data, frame)
        draw_ground(axes, truth, frame)
        draw_points(axes, samples.data, samples.condition)

    return figure(draw, frame, f"{samples.spec['source']}: {len(samples)} samples")


def contact_sheet(pictures: Tensor, columns: int = 0) -> Image:
    """(n, 1, side, side) in [0, 1] in rows, grey; without ``columns`` as square as may be."""
    from PIL import Image

    n, side = len(pictures), pictures.shape[-1]
    columns = columns or max(1, math.ceil(math.sqrt(n)))
    rows, cell = max(1, math.ceil(n / columns)), side + GAP
    sheet = np.full((rows * cell + GAP, columns * cell + GAP), 128, dtype=np.uint8)
    for number, grey in enumerate(greys(pictures)):
        top, left = GAP + number // columns * cell, GAP + number % columns * cell
        sheet[top : top + side, left : left + side] = grey
    scale = max(1, 96 // side)
    return Image.fromarray(sheet).resize(
        (sheet.shape[1] * scale, sheet.shape[0] * scale), Image.Resampling.NEAREST
    )


def greys(pictures: Tensor) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """(n, 1, side, side) in [0, 1] to (n, side, side) in 0..255."""
    grey = torch.nan_to_num(pictures[:, 0]).clamp(0, 1) * 255
    return grey.round().to(torch.uint8).numpy()


def frame_of(truth: Truth) -> Frame:
    """About nearly all true points, by their first two coordinates, a square."""
    points = truth.own[:, :2]
    if points.shape[1] == 1:
        points = points.expand(-1, 2)
    low, high = (torch.quantile(points, q, dim=0) for q in (0.005, 0.995))
    middle, half = (low + high) / 2, float((high - low).max()) / 2 * (1 + 2 * MARGIN)
    half = half or 1.0
    x, y = middle.tolist()
    return x - half, x + half, y - half, y + half


def figure(draw: Callable[[Axes], None], frame: Frame, title: str) -> Image:
    """A picture of what ``draw`` puts on axes with this frame."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    sheet = Figure(figsize=(5.6, 5.6), dpi=100, layout="constrained")
    canvas, axes = FigureCanvasAgg(sheet), sheet.add_subplot()
    axes.set(xlim=frame[:2], ylim=frame[2:], title=title)
    draw(axes)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def mesh(frame: Frame, count: int) -> Tensor:
    """Points of a square mesh, (count * count, 2), float64; rows from the bottom up."""
    x, y = (torch.linspace(*frame[i : i + 2], count, dtype=torch.float64) for i in (0, 2))
    across, up = torch.meshgrid(x, y, indexing="xy")
    return torch.stack([across.flatten(), up.flatten()], dim=1)


@lru_cache(maxsize=4)
def ground(truth: Truth) -> Tensor:
    """log p over the frame, (GRID, GRID); every preview of a run shows the same."""
    return truth.log_density(mesh(frame_of(truth), GRID)).view(GRID, GRID)


def draw_ground(axes: Axes, truth: Truth, frame: Frame) -> None:
    """The density in grey; where there is none to draw, true points."""
    if not truth.has_density or truth.shape != (2,):
        own = truth.own[:2000].numpy()
        axes.scatter(own[:, 0], own[:, 1], s=8, color="0.82", linewidths=0, label="truth")
        return
    values = ground(truth)
    top = float(values.max())
    axes.imshow(
        values.clamp(min=top - DEPTH).numpy(),
        extent=frame,
        origin="lower",
        cmap="Greys",
        vmax=top + DEPTH / 2,
    )


def draw_points(axes: Axes, points: Tensor, labels: Tensor | None = None) -> None:
    colours: Any = "tab:red" if labels is None else np.asarray(labels) % 10
    size = float(np.clip(3000 / max(1, len(points)), 2, 14))
    kept = {"cmap": "tab10", "vmin": 0, "vmax": 9} if labels is not None else {}
    axes.scatter(*points[:, :2].T.numpy(), s=size, c=colours, alpha=0.7, linewidths=0, **kept)


def draw_histogram(axes: Axes, truth: Truth, points: Tensor, frame: Frame) -> None:
    """One coordinate: shares of the samples a unit, and the density as a line."""
    left, right = frame[:2]
    share = np.full(len(points), BINS / (right - left) / len(points))  # also of what is out of the picture
    heights, _, _ = axes.hist(
        points[:, 0].numpy(), bins=BINS, range=(left, right), weights=share, color="tab:red", alpha=0.6
    )
    x = torch.linspace(left, right, 1000, dtype=torch.float64)
    top = float(np.max(heights))
    if truth.has_density:
        p = truth.log_density(x[:, None]).exp()
        axes.plot(x.numpy(), p.numpy(), color="black")
        top = max(top, float(p.max()))
    axes.set_ylim(0, 1.1 * top)


def field_picture(
    value: Callable[[Tensor], Tensor], samples: Tensor, truth: Truth, title: str, logarithm: bool = False
) -> Image:
    """Of a function on the plane: its values in colour, the direction of its gradient as arrows.

    Arrows are as long as the gradient is steep, by its square root, so that gentle slopes are seen too.
    Colours are centred at 0; those of a ``logarithm`` of a density end ``DEPTH`` nats below its top.
    """
    frame = frame_of(truth)
    with torch.no_grad():
        values = value(mesh(frame, GRID).float()).double().view(GRID, GRID)
    spots = mesh(frame, ARROWS)
    arrows = _arrows(value, spots)
    most, top = max(float(values.abs().quantile(0.98)), 1e-6), float(values.max())
    colours = ("viridis", top - DEPTH, top, "tab:red") if logarithm else ("RdBu", -most, most, "gold")

    def draw(axes: Axes) -> None:
        cmap, low, high, spot = colours
        shown = axes.imshow(values.numpy(), extent=frame, origin="lower", cmap=cmap, vmin=low, vmax=high)
        axes.figure.colorbar(shown, ax=axes, shrink=0.8)
        axes.quiver(*spots.T.numpy(), *arrows.T.numpy(), color="0.25", scale=ARROWS * 0.9, width=0.003)
        axes.scatter(*truth.own[:1000].T.numpy(), s=3, color="black", linewidths=0, label="truth")
        axes.scatter(*samples.T.numpy(), s=6, c=spot, edgecolors="0.3", linewidths=0.2, label="samples")
        axes.legend(loc="upper right", fontsize=8, markerscale=2)

    return figure(draw, frame, title)


def _arrows(value: Callable[[Tensor], Tensor], points: Tensor) -> Tensor:
    """Gradients shortened to the square root of their length, the steepest but a few to 1."""
    spots = points.float().requires_grad_()
    (gradients,) = torch.autograd.grad(value(spots).sum(), spots)
    steep = gradients.double().norm(dim=1, keepdim=True)
    longest = steep.quantile(0.95).clamp(min=1e-12)
    return gradients.double() / steep.clamp(min=1e-12) * (steep / longest).clamp(max=1).sqrt()
