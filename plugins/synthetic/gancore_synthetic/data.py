"""From knobs to :class:`gancore.Data`: drawn once, split, resident."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from gancore.domain import Batch, Data, Source, Spec
from gancore.errors import DataError, nearest
from gancore.runtime.randomness import Key
from gancore_synthetic.config import KNOBS, PICTURES, SOURCES, SyntheticConfig
from gancore_synthetic.polygons import GREYS, Polygons
from gancore_synthetic.truth import Truth, make_truth

DRAWN_BY = 1
"""The version of how points are drawn; another one makes other data."""
MOST_CLASSES = 1000


@dataclass(frozen=True)
class PointView:
    """Rows in memory, with the component of each where it is told.

    Points are float32; pictures are counts of white sub-pixels, uint8, and given out as grey in [0, 1].
    """

    rows: Tensor
    labels: Tensor | None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def megabytes(self) -> float:
        return self.rows.numel() * self.rows.element_size() / 2**20

    def on(self, device: torch.device | str) -> PointView:
        """The view with its rows on ``device``."""
        labels = None if self.labels is None else self.labels.to(device)
        return replace(self, rows=self.rows.to(device), labels=labels)

    def take(self, indices: Tensor, key: Key) -> Batch:
        rows = self.rows[indices.to(self.rows.device)].to(key.device)
        if rows.dtype is torch.uint8:
            rows = rows.float() / GREYS
        return Batch(rows, self._labels(indices, key.device))

    def conditions(self, indices: Tensor) -> Tensor | None:
        return self._labels(indices, self.rows.device)

    def _labels(self, indices: Tensor, device: torch.device) -> Tensor | None:
        return None if self.labels is None else self.labels[indices.to(self.labels.device)].to(device)


def open_truth(source: Source, config: SyntheticConfig) -> Data:
    """Draws train, valid and test: a pure function of the source, its knobs and ``data.seed``.

    Raises:
        DataError: no such source.
    """
    if source.name not in KNOBS:
        raise DataError(f"{source.name!r} is no source of the synthetic domain", nearest(source.name, KNOBS))
    knobs = config.model_copy(update={"source": source.name}).knobs()
    truth = make_truth(source.name, knobs, config.seed)
    told = 1 < len(truth.weights) <= MOST_CLASSES
    sizes = {"train": _points(source.name, config), "valid": config.held_out, "test": config.held_out}
    key = Key.of("synthetic", source.name, config.seed)
    views = {split: _view(truth, n, key / split, told) for split, n in sizes.items()}
    facts = {"source": source.name, "seed": config.seed, "knobs": knobs, "points": sizes["train"]}
    return Data(
        **views,
        spec=_spec(facts, truth, told),
        contract=_contract(facts, truth, sizes, told),
        fingerprint=hashlib.sha256(json.dumps([DRAWN_BY, facts, sizes]).encode()).hexdigest()[:32],
    )


def _points(name: str, config: SyntheticConfig) -> int:
    return config.points or (60_000 if name in PICTURES else 100_000)


def _view(truth: Truth, n: int, key: Key, told: bool) -> PointView:
    if isinstance(truth, Polygons):
        rows, component = truth.sample_counts(n, key)
    else:
        points, component = truth.sample(n, key)
        rows = points.float()
    return PointView(rows, component if told else None)


def _spec(facts: dict[str, Any], truth: Truth, told: bool) -> Spec:
    spec = {**facts, "shape": list(truth.shape), "licence": SOURCES[facts["source"]].licence}
    if told:
        first = 3 if isinstance(truth, Polygons) else 0  # a polygon is called by its number of vertices
        spec["classes"] = [str(first + k) for k in range(len(truth.weights))]
        spec["class_shares"] = [round(w, 9) for w in truth.weights.tolist()]
    return Spec(spec)


def _contract(facts: dict[str, Any], truth: Truth, sizes: dict[str, int], told: bool) -> list[str]:
    shape = "x".join(map(str, truth.shape))
    knobs = ", ".join(f"{name} {value}" for name, value in facts["knobs"].items())
    labels = f"{len(truth.weights)}, the component of each row" if told else "none"
    return [
        f"data: {facts['source']}, {SOURCES[facts['source']].summary}; seed {facts['seed']}",
        f"knobs: {knobs}",
        f"rows: {shape}; " + ", ".join(f"{n:,} {split}" for split, n in sizes.items()),
        f"labels: {labels}",
        f"density: {'exact' if truth.has_density else 'none'}",
    ]
