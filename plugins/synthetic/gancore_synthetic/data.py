"""Open a source: draw the points of a distribution, or read the user's points from an npy file."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gancore import Batch, Data, Source, Spec, View
from gancore.data import SPLITS, distinct_rows, keeps_together, read_npy, split_rows
from gancore.errors import ConfigError, DataError
from gancore.random import Key
from gancore.text import count_noun, suggestion
from gancore_synthetic.config import IMAGE_SOURCES, PARAMETERS, SOURCES, SyntheticConfig
from gancore_synthetic.distribution import BINS, Distribution
from gancore_synthetic.polygons import N_GREYS, Polygons
from gancore_synthetic.registry import make_distribution

DRAW_VERSION = 1
"""Version of the way points are drawn; change it whenever a point changes."""
MOST_CLASSES = 1000


@dataclass(frozen=True)
class PointView(View):
    """Points in memory, with component labels, if the distribution has at most 1,000.

    Points are float32; images are counts of white sub-pixels, uint8, and returned as grey in [0, 1].
    """

    rows: Tensor
    labels: Tensor | None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def size_mb(self) -> float:
        return self.rows.numel() * self.rows.element_size() / 2**20

    def to(self, device: torch.device | str) -> PointView:
        """The view with its points on ``device``."""
        labels = None if self.labels is None else self.labels.to(device)
        return replace(self, rows=self.rows.to(device), labels=labels)

    def get_batch(self, indices: Tensor, key: Key) -> Batch:
        rows = self.rows[indices.to(self.rows.device)].to(key.device)
        if rows.dtype is torch.uint8:
            rows = rows.float() / N_GREYS
        return Batch(rows, self._labels(indices, key.device))

    def get_conditions(self, indices: Tensor) -> Tensor | None:
        return self._labels(indices, self.rows.device)

    def _labels(self, indices: Tensor, device: torch.device) -> Tensor | None:
        return None if self.labels is None else self.labels[indices.to(self.labels.device)].to(device)


def open_distribution(source: Source, config: SyntheticConfig) -> Data:
    """Draw train, valid and test: a pure function of the source, its parameters and ``data.seed``.

    Raises:
        DataError: unknown source.
    """
    if source.name not in PARAMETERS:
        raise DataError(
            f"{source.name!r} is not a source of the synthetic domain", suggestion(source.name, PARAMETERS)
        )
    parameters = config.model_copy(update={"source": source.name}).parameters()
    distribution = make_distribution(source.name, parameters, config.seed)
    labelled = 1 < len(distribution.weights) <= MOST_CLASSES
    sizes = {
        "train": _train_examples(source.name, config),
        "valid": config.validation_examples,
        "test": config.validation_examples,
    }
    key = Key.of("synthetic", source.name, config.seed)
    views = {split: _view(distribution, n, key / split, labelled) for split, n in sizes.items()}
    facts = {
        "source": source.name,
        "seed": config.seed,
        "parameters": parameters,
        "train_examples": sizes["train"],
    }
    return Data(
        train=views["train"],
        valid=views["valid"],
        test=views["test"],
        spec=_spec(facts, distribution, labelled),
        summary=_summary_lines(facts, distribution, sizes, labelled),
        fingerprint=hashlib.sha256(json.dumps([DRAW_VERSION, facts, sizes]).encode()).hexdigest()[:32],
    )


def _train_examples(name: str, config: SyntheticConfig) -> int:
    return config.train_examples or (60_000 if name in IMAGE_SOURCES else 100_000)


def _view(distribution: Distribution, n: int, key: Key, labelled: bool) -> PointView:
    if isinstance(distribution, Polygons):
        rows, component = distribution.sample_counts(n, key)
    else:
        points, component = distribution.sample(n, key)
        rows = points.float()
    return PointView(rows, component if labelled else None)


def _spec(facts: dict[str, Any], distribution: Distribution, labelled: bool) -> Spec:
    spec = {**facts, "shape": list(distribution.shape), "licence": SOURCES[facts["source"]].licence}
    if labelled:
        first = (
            3 if isinstance(distribution, Polygons) else 0
        )  # a polygon is labelled by its number of vertices
        spec["classes"] = [str(first + k) for k in range(len(distribution.weights))]
        spec["class_shares"] = [round(w, 9) for w in distribution.weights.tolist()]
    return Spec(spec)


def _summary_lines(
    facts: dict[str, Any], distribution: Distribution, sizes: dict[str, int], labelled: bool
) -> list[str]:
    shape = "x".join(map(str, distribution.shape))
    parameters = ", ".join(f"{name} {value}" for name, value in facts["parameters"].items())
    labels = f"{len(distribution.weights)}, the component of each example" if labelled else "none"
    return [
        f"data: {facts['source']}, {SOURCES[facts['source']].summary}; seed {facts['seed']}",
        f"parameters: {parameters}",
        f"rows: {shape}; " + ", ".join(f"{n:,} {split}" for split, n in sizes.items()),
        f"labels: {labels}",
        f"density: {'exact' if distribution.has_density else 'none'}",
    ]


FEWEST, MOST_COORDINATES = 20, 1024
FIX = "give an npy file, or an array, of numbers of shape (rows, coordinates)"


def open_points(source: Source, config: SyntheticConfig) -> Data:
    """Open the user's points; ``data.seed`` draws valid and test, a tenth each, at most
    ``data.validation_examples``.

    Equal rows are in one split and count once, unless more than a tenth of the rows is repeated.

    Raises:
        DataError: the file is not an array of finite points.
        ConfigError: a parameter of a distribution is set.
    """
    _reject_parameters(source, config)
    point = distinct_rows(rows := _read_points(source))
    n_duplicates = len(rows) - 1 - int(point.max())
    keep_together = keeps_together(point)
    parts = _split(rows, point if keep_together else torch.arange(len(rows)), config)
    facts = {
        "source": source.name,
        "user_points": True,
        "seed": config.seed,
        "parameters": {},
        "train_examples": len(parts["train"]),
        "shape": [rows.shape[1]],
        "licence": "",
    }
    sizes = {split: len(part) for split, part in parts.items()}
    drawn = [sizes, config.seed, *(["equal rows keep_together"] if n_duplicates and keep_together else [])]
    train, valid, test = (PointView(parts[split], None) for split in SPLITS)
    return Data(
        train=train,
        valid=valid,
        test=test,
        spec=Spec(facts, _histogram(parts["train"])),
        summary=[
            f"data: {source.name}, points of the user; splits drawn by seed {config.seed}",
            f"rows: {rows.shape[1]}; " + ", ".join(f"{n:,} {split}" for split, n in sizes.items()),
            *_duplicates_line(n_duplicates, keep_together),
            "labels: none",
            "density: none; metrics against a known distribution are left out",
        ],
        fingerprint=hashlib.sha256(rows.numpy().tobytes() + repr(drawn).encode()).hexdigest()[:32],
    )


def _duplicates_line(n_duplicates: int, keep_together: bool) -> list[str]:
    if not n_duplicates:
        return []
    where = "equal rows in one split" if keep_together else "too many for duplicates, so in any split"
    return [f"repeated: {count_noun(n_duplicates, 'row')}, {where}"]


def _split(rows: Tensor, point: Tensor, config: SyntheticConfig) -> dict[str, Tensor]:
    """The splits of ``rows``; all rows of one ``point`` (n, counted from 0) are in one split."""
    key = Key.of("synthetic", "own points", config.seed)
    splits = split_rows(point, key, config.validation_examples)
    parts = {str(split): rows[indices] for split, indices in splits.items()}
    return {**parts, "train": parts["train"][: config.train_examples]}


def _reject_parameters(source: Source, config: SyntheticConfig) -> None:
    for name in sorted({name for parameters in PARAMETERS.values() for name in parameters}):
        if getattr(config, name) is not None:
            raise ConfigError(
                f"data.{name} is a parameter of a distribution, but {source.name} holds points",
                f"leave out data.{name}",
            )


def _read_points(source: Source) -> Tensor:
    """(rows, coordinates), float32."""
    assert source.path is not None
    array = read_npy(source.path, FIX)
    if array.ndim != 2 or array.dtype.kind not in "biuf" or not 1 <= array.shape[1] <= MOST_COORDINATES:
        raise DataError(f"{source.path} holds an array of {array.dtype} of shape {array.shape}", FIX)
    if len(array) < FEWEST:
        raise DataError(f"{source.path} has {len(array)} rows", f"give at least {FEWEST} rows")
    with np.errstate(over="ignore"):  # values beyond float32 are reported below
        rows = torch.from_numpy(array.astype(np.float32))
    broken = (~rows.isfinite()).any(1)
    if broken.any():
        raise DataError(
            f"row {int(broken.int().argmax())} of {source.path} has values that are not finite in float32",
            "remove such rows",
        )
    return rows


def _histogram(points: Tensor) -> dict[str, Tensor]:
    """A histogram of the first two coordinates: previews show it, models carry no examples."""
    plane = points[:, :2].double()
    edges = torch.stack([_histogram_range(column) for column in plane.T])  # (axes, 2)
    cells = ((plane - edges[:, 0]) / (edges[:, 1] - edges[:, 0]) * BINS).long().clamp(0, BINS - 1)
    flat = cells[:, 0] * BINS + cells[:, 1] if plane.shape[1] == 2 else cells[:, 0]
    counts = torch.bincount(flat, minlength=BINS ** plane.shape[1])
    return {"outline_edges": edges.float(), "outline_counts": counts.to(torch.int32)}


def _histogram_range(column: Tensor) -> Tensor:
    """From the 0.1 % to the 99.9 % quantile, never empty."""
    ordered = column.sort().values
    low, high = ordered[len(ordered) // 1000], ordered[-1 - len(ordered) // 1000]
    return torch.stack([low, high]) if high > low else torch.stack([low - 0.5, high + 0.5])
