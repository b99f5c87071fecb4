"""Points of one's own, from an npy file of shape (rows, coordinates): nothing is known of their truth."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gancore.domain import Data, Source, Spec
from gancore.errors import ConfigError, DataError
from gancore.runtime.randomness import Key
from gancore.texts import counted
from gancore_synthetic.config import KNOBS, SyntheticConfig
from gancore_synthetic.data import PointView
from gancore_synthetic.truth import Truth

FEWEST, MOST_COORDINATES = 20, 1024
COPIES = 0.1
"""Where a larger share of the rows is repeated, the points are discrete, and equal ones no copies."""
AT_ONCE = 1 << 22
"""Coordinates that are looked at in one go."""
BINS = 48
"""Along each of the first two coordinates, of what a picture shows of the points."""
FIX = "give an npy file, or an array, of numbers of shape (rows, coordinates)"


def open_points(source: Source, config: SyntheticConfig) -> Data:
    """A tenth of the rows each, ``data.held_out`` at most, are valid and test; ``data.seed`` draws which.

    Equal rows are in one split, and count once; but see :data:`COPIES`.

    Raises:
        DataError: the file is no array of finite points.
        ConfigError: a knob of a distribution is set.
    """
    _refuse_knobs(source, config)
    rows = _read(source)
    point = _points_of(rows)
    copies = len(rows) - 1 - int(point.max())
    together = copies <= COPIES * len(rows)
    parts = _split(rows, point if together else torch.arange(len(rows)), config)
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
    drawn = [sizes, config.seed, *(["equal rows together"] if copies and together else [])]
    digest = hashlib.sha256(rows.numpy().tobytes())
    digest.update(repr(drawn).encode())
    return Data(
        **{split: PointView(part, None) for split, part in parts.items()},
        spec=Spec(facts, _outline(parts["train"])),
        contract=[
            f"data: {source.name}, points of your own; splits drawn by seed {config.seed}",
            f"rows: {rows.shape[1]}; " + ", ".join(f"{n:,} {split}" for split, n in sizes.items()),
            *_repeats(copies, together),
            "labels: none",
            "density: none; measures against a truth are left out",
        ],
        fingerprint=digest.hexdigest()[:32],
    )


def _repeats(copies: int, together: bool) -> list[str]:
    if not copies:
        return []
    where = "in the split of their equals" if together else "too many for copies, so in any split"
    return [f"repeated: {counted(copies, 'row')}, {where}"]


def _split(rows: Tensor, point: Tensor, config: SyntheticConfig) -> dict[str, Tensor]:
    """The parts of ``rows``, which hold the rows of a ``point`` (n, counted from 0) all or none."""
    count = int(point.max()) + 1
    place = Key.of("synthetic", "own points", config.seed).permutation(count).argsort()[point]  # (n)
    order = place.argsort(stable=True)
    held_out = max(1, min(config.held_out, count // 10))
    ends = torch.searchsorted(place[order], torch.tensor([held_out, 2 * held_out]))
    valid, test, train = order.tensor_split(ends)
    return {"train": rows[train[: config.points]], "valid": rows[valid], "test": rows[test]}


def _points_of(rows: Tensor) -> Tensor:
    """The number of each row's point, (n), counted as they first appear: equal rows have one.

    Rows are equal whose 64-bit sums are, of coordinates' bits times odd factors. Two points that are not
    share a sum by a chance of n^2 / 2^65 or so; then they are in one split, too.
    """
    factors = Key.of("synthetic", "equal rows").integers(1 << 62, rows.shape[1]).numpy().astype(np.uint64)
    factors = 2 * factors + 1
    sums = np.empty(len(rows), dtype=np.uint64)
    step = max(1, AT_ONCE // rows.shape[1])
    for begin in range(0, len(rows), step):
        bits = (rows[begin : begin + step].numpy() + np.float32(0)).view(np.uint32)  # 0 for -0, too
        sums[begin : begin + step] = ((bits ^ bits >> 16).astype(np.uint64) * factors).sum(axis=1)
    _, first, point = np.unique(sums, return_index=True, return_inverse=True)
    return torch.from_numpy(first.argsort().argsort()[point])


def _refuse_knobs(source: Source, config: SyntheticConfig) -> None:
    for name in sorted({name for knobs in KNOBS.values() for name in knobs}):
        if getattr(config, name) is not None:
            raise ConfigError(
                f"data.{name} is of a distribution, and {source.name} holds points", "leave it out"
            )


def _read(source: Source) -> Tensor:
    """(rows, coordinates), float32."""
    assert source.path is not None
    array = _load(source.path)
    if array.ndim != 2 or array.dtype.kind not in "biuf" or not 1 <= array.shape[1] <= MOST_COORDINATES:
        raise DataError(f"{source.path} holds {array.dtype} of shape {array.shape}", FIX)
    if len(array) < FEWEST:
        raise DataError(f"{source.path} has {len(array)} rows", f"give at least {FEWEST}")
    with np.errstate(over="ignore"):  # what float32 does not hold is told below
        rows = torch.from_numpy(array.astype(np.float32))
    broken = (~rows.isfinite()).any(1)
    if broken.any():
        raise DataError(
            f"row {int(broken.int().argmax())} of {source.path} is not finite in float32",
            "leave such rows out",
        )
    return rows


def _load(path: Path) -> NDArray[Any]:
    if path.is_dir() or path.suffix != ".npy":
        raise DataError(f"{path} is not an npy file, the only kind that the synthetic domain reads", FIX)
    try:
        with path.open("rb") as file:
            promised = _promised(file)
            held = path.stat().st_size - file.tell()
        if promised > held:
            raise DataError(
                f"{path} is cut short or damaged: {held:,} bytes of the {promised:,} that it promises",
                "write it anew",
            )
        array: NDArray[Any] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, MemoryError) as error:
        raise DataError(f"{path} cannot be read: {' '.join(str(error).split())}", FIX) from None
    return array


def _promised(file: IO[bytes]) -> int:
    """Bytes of the array that an npy file's head tells of; none of objects, which are not read."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return 0 if dtype.hasobject else math.prod(shape) * dtype.itemsize


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
