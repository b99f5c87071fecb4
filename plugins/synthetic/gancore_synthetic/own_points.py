"""Points of one's own, from an npy file of shape (rows, coordinates): nothing is known of their truth."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

from gancore.domain import Data, Source, Spec
from gancore.errors import ConfigError, DataError
from gancore.runtime.randomness import Key
from gancore_synthetic.config import KNOBS, SyntheticConfig
from gancore_synthetic.data import PointView
from gancore_synthetic.truth import Truth

FEWEST, MOST_COORDINATES = 20, 1024
BINS = 48
"""Along each of the first two coordinates, of what a picture shows of the points."""
FIX = "give an npy file, or an array, of numbers of shape (rows, coordinates)"


def open_points(source: Source, config: SyntheticConfig) -> Data:
    """A tenth of the rows each, ``data.held_out`` at most, are valid and test; ``data.seed`` draws which.

    Raises:
        DataError: the file is no array of finite points.
        ConfigError: a knob of a distribution is set.
    """
    _refuse_knobs(source, config)
    rows = _read(source)
    order = Key.of("synthetic", "own points", config.seed).permutation(len(rows))
    held_out = max(1, min(config.held_out, len(rows) // 10))
    valid, test, train = order.split([held_out, held_out, len(rows) - 2 * held_out])
    parts = {"train": rows[train[: config.points]], "valid": rows[valid], "test": rows[test]}
    facts = {
        "source": source.name,
        "own_points": True,
        "seed": config.seed,
        "knobs": {},
        "points": len(parts["train"]),
        "shape": [rows.shape[1]],
        "licence": "",
    }
    sizes = {split: len(part) for split, part in parts.items()}
    digest = hashlib.sha256(rows.numpy().tobytes())
    digest.update(repr([sizes, config.seed]).encode())
    return Data(
        **{split: PointView(part, None) for split, part in parts.items()},
        spec=Spec(facts, _outline(parts["train"])),
        contract=[
            f"data: {source.name}, points of your own; splits drawn by seed {config.seed}",
            f"rows: {rows.shape[1]}; " + ", ".join(f"{n:,} {split}" for split, n in sizes.items()),
            "labels: none",
            "density: none; measures against a truth are left out",
        ],
        fingerprint=digest.hexdigest()[:32],
    )


def _refuse_knobs(source: Source, config: SyntheticConfig) -> None:
    for name in sorted({name for knobs in KNOBS.values() for name in knobs}):
        if getattr(config, name) is not None:
            raise ConfigError(
                f"data.{name} is of a distribution, and {source.name} holds points", "leave it out"
            )


def _read(source: Source) -> Tensor:
    """(rows, coordinates), float32."""
    assert source.path is not None
    if source.path.is_dir() or source.path.suffix != ".npy":
        raise DataError(
            f"{source.path} is not an npy file, the only kind that the synthetic domain reads", FIX
        )
    try:
        array = np.load(source.path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{source.path} cannot be read: {' '.join(str(error).split())}", FIX) from None
    if array.ndim != 2 or array.dtype.kind not in "biuf" or not 1 <= array.shape[1] <= MOST_COORDINATES:
        raise DataError(f"{source.path} holds {array.dtype} of shape {array.shape}", FIX)
    if len(array) < FEWEST:
        raise DataError(f"{source.path} has {len(array)} rows", f"give at least {FEWEST}")
    rows = torch.from_numpy(array.astype(np.float32))
    broken = (~rows.isfinite()).any(1)
    if broken.any():
        raise DataError(
            f"row {int(broken.int().argmax())} of {source.path} is not finite in float32",
            "leave such rows out",
        )
    return rows


def _outline(points: Tensor) -> dict[str, Tensor]:
    """A histogram of the first two coordinates: pictures show it, and no row of train leaves with a model."""
    seen = points[:, :2].double()
    edges = torch.stack([_frame(column) for column in seen.T])  # (axes, 2)
    cells = ((seen - edges[:, 0]) / (edges[:, 1] - edges[:, 0]) * BINS).long().clamp(0, BINS - 1)
    flat = cells[:, 0] * BINS + cells[:, 1] if seen.shape[1] == 2 else cells[:, 0]
    counts = torch.bincount(flat, minlength=BINS ** seen.shape[1])
    return {"outline_edges": edges.float(), "outline_counts": counts.to(torch.int32)}


def _frame(column: Tensor) -> Tensor:
    """From the 1st to the 999th of a thousand, and never empty."""
    ordered = column.sort().values
    low, high = ordered[len(ordered) // 1000], ordered[-1 - len(ordered) // 1000]
    return torch.stack([low, high]) if high > low else torch.stack([low - 0.5, high + 0.5])


class Unknown(Truth):
    """No density, support or components; ``own`` are draws from the outline of the points."""

    has_support = False

    def __init__(self, spec: Spec) -> None:
        self.shape = tuple(spec["shape"])
        self.weights = torch.ones(1, dtype=torch.float64)
        self.edges, self.counts = spec["outline_edges"].double(), spec["outline_counts"].double()

    def sample(self, n: int, key: Key) -> tuple[Tensor, Tensor]:
        """In the first two coordinates alone, (n, 2) or (n, 1)."""
        ends = self.counts.cumsum(0) / self.counts.sum()
        cell = torch.searchsorted(ends, (key / "cell").uniform(n).double(), right=True)
        cell = cell.clamp(max=len(ends) - 1)
        axes = len(self.edges)
        places = torch.stack([cell // BINS, cell % BINS], dim=1) if axes == 2 else cell[:, None]
        places = (places + (key / "within").uniform(n, axes).double()) / BINS
        return self.edges[:, 0] + places * (self.edges[:, 1] - self.edges[:, 0]), torch.zeros(n).long()
