"""Samples as the files that people open: tables of points, pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gancore.domain import Samples
from gancore.naming import sample_labels, sample_stems
from gancore_synthetic.pictures import greys, picture


def write_samples(samples: Samples, folder: Path) -> list[Path]:
    """``samples.npy`` with all rows, and ``overview.png``; points as ``samples.csv``, pictures each as PNG.

    The same samples always give the same bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = samples.data.detach().float().cpu()
    np.save(folder / "samples.npy", rows.numpy())
    written = [folder / "samples.npy"]
    written += _pictures(samples, folder) if rows.dim() == 4 else [_table(samples, folder)]
    picture(samples).save(folder / "overview.png")
    return [*written, folder / "overview.png"]


def _table(samples: Samples, folder: Path) -> Path:
    """A line a point: its coordinates, and its label where it has one."""
    labels = [] if samples.condition is None else sample_labels(samples)
    names = [f"x{number + 1}" for number in range(samples.data.shape[1])]
    lines = [",".join(names + (["label"] if labels else []))]
    for number, point in enumerate(samples.data.tolist()):
        lines.append(",".join([f"{x:.7g}" for x in point] + labels[number : number + 1]))
    (folder / "samples.csv").write_text("\n".join(lines) + "\n")
    return folder / "samples.csv"


def _pictures(samples: Samples, folder: Path) -> list[Path]:
    from PIL import Image

    written = [folder / f"{stem}.png" for stem in sample_stems(samples)]
    for path, grey in zip(written, greys(samples.data), strict=True):
        Image.fromarray(grey).save(path)
    return written
