"""Samples beside the rows of train that are nearest to them, and whether that is too near for chance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gancore.data.sources import cache_folder
from gancore.domain import Batch, Samples, View, origins
from gancore.errors import ConfigError, DataError
from gancore.evaluation.catalogue import features_for
from gancore.evaluation.copying import CROWD, Copying, judge
from gancore.evaluation.distances import nearest
from gancore.evaluation.evidence import broken_rows
from gancore.evaluation.extraction import Maps
from gancore.evaluation.features import Features, Workbench
from gancore.evaluation.judging import Judging
from gancore.evaluation.preparing import Preparing
from gancore.evaluation.reference import Reference, open_reference
from gancore.evaluation.rows import outline, take, view_of
from gancore.evaluation.store import Store
from gancore.models.model import Model
from gancore.runtime.randomness import Key
from gancore.training.run import RunFolder
from gancore.trees import Tree, join_rows, leaves, map_tree

VALUES = 8_000_000
"""Of rows of train, held at once."""
HELD_OUT = 500
"""Rows of valid at most, for the verdict."""
UNKEPT = "coordinates"
"""Features that are as quickly made again as read."""


@dataclass(frozen=True)
class Asked:
    """What is asked of a model; see :func:`gancore.neighbours`."""

    k: int = 5
    features: str | None = None
    against: str | None = None
    data_root: Path | None = None
    announce: Callable[[str], None] = field(default=lambda line: None)


@dataclass(frozen=True)
class Neighbours:
    """``samples``: each followed by its ``k`` nearest rows of train, side by side. ``rows`` and ``distances``
    (n, k): which they are, and how far. ``names``: of each sample the files of these rows, empty where the
    data name none. ``about``: features, source, and how many rows were looked at.
    """

    samples: Samples
    rows: Tensor
    distances: Tensor
    names: Sequence[Sequence[str]]
    copying: Copying
    about: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        verdict = {**asdict(self.copying), "sign": self.copying.sign, "told": self.copying.told()}
        plain = {name: value if value == value else None for name, value in verdict.items()}
        rows, distances = self.rows.tolist(), self.distances.tolist()
        beside: list[dict[str, Any]] = [
            {"rows": row, "distances": far} for row, far in zip(rows, distances, strict=True)
        ]
        for sample, names in zip(beside, self.names, strict=False):
            sample["names"] = list(names)
        return {**self.about, "verdict": plain, "samples": beside}

    def told(self) -> list[str]:
        """A line for each sample: the row of train that is nearest to it."""
        nearest_rows = enumerate(zip(self.names, self.distances[:, 0].tolist(), strict=False), start=1)
        return [f"sample {n}: {names[0]}, {far:.3g} away" for n, (names, far) in nearest_rows]


def neighbours(model: Model, samples: Samples, run: RunFolder | None, asked: Asked) -> Neighbours:
    """Every row of train is looked at.

    Raises:
        GancoreError: the data are not here or of another kind, or the features cannot be had.
    """
    reference = open_reference(model, run, asked.against, asked.data_root, asked.announce)
    if reference.note:
        asked.announce(f"mind: {reference.note}")
    train = view_of(reference.data, "train")
    if asked.k > len(train):
        raise ConfigError(f"{asked.k} nearest of {len(train)} rows of train", "ask for fewer")
    held_out = _held_out(reference)
    if outline(samples.data) != outline(take(train, torch.tensor([0]), Key.of("neighbours")).data):
        raise ConfigError("samples and data are of different shapes", "give data of the model's kind")
    maps = Maps(reference.data.spec, model.device, Store(_cache() / "sets", asked.announce))
    features = _look(maps, model, reference, asked)
    asked.announce(f"looking at {len(train):,} rows of train, by {features.name}")
    both = Batch(samples.data if held_out is None else join_rows([samples.data, held_out.rows.data]))
    distances, rows = search(_embedded(maps, both, keep=False), train, maps, max(asked.k, CROWD))
    n, k = len(samples), asked.k
    flat = names_of(train, rows[:n, :k].flatten())
    return Neighbours(
        beside(samples, train, rows[:n, :k], distances[:n, :k]),
        rows[:n, :k],
        distances[:n, :k],
        [flat[start : start + k] for start in range(0, len(flat), k)],
        _judged(distances, rows, n, train, held_out),
        {
            "features": {"name": features.name, "hash": features.digest},
            "source": reference.source.name,
            "train": len(train),
            "note": reference.note,
        },
    )


def _judged(distances: Tensor, rows: Tensor, n: int, train: View, held_out: HeldOut | None) -> Copying:
    """The first ``n`` rows are of samples, the others of what is held out."""
    found = judge(distances[:n], distances[n:], rows[:n, 0])
    if not found.why_not or held_out is None or not held_out.names:
        return found
    equal = torch.nonzero(distances[n:, 0] == 0).flatten()
    there = names_of(train, rows[n:, 0][equal])
    pairs = [(held_out.names[row], name) for row, name in zip(equal.tolist(), there, strict=True)]
    return replace(found, twins=pairs)


def search(x: Tensor, train: View, maps: Maps, most: int) -> tuple[Tensor, Tensor]:
    """For each row of x (n, d) the ``most`` nearest rows, or all: distances, ascending, and numbers."""
    best = torch.empty(len(x), 0, dtype=torch.float64)
    rows = torch.empty(len(x), 0, dtype=torch.int64)
    for start, batch in _chunks(train):
        y = _embedded(maps, batch, keep=maps.features is not None and maps.features.name != UNKEPT)
        far, found = nearest(x, y, min(most, len(y)))
        joined, numbers = torch.cat([best, far], 1), torch.cat([rows, found + start], 1)
        best, order = joined.sort(dim=1, stable=True)
        best, rows = best[:, :most], numbers.gather(1, order)[:, :most]
    return best, rows


def beside(samples: Samples, train: View, rows: Tensor, distances: Tensor) -> Samples:
    """Each sample, then its rows (n, k) of train, titled by their distance."""
    n, k = rows.shape
    found = _taken(train, rows.flatten())
    order = torch.cat([torch.arange(n).unsqueeze(1), n + torch.arange(n * k).view(n, k)], 1).flatten()
    with_labels = samples.condition is not None and found.condition is not None
    titles = [
        text
        for number, far in enumerate(distances.tolist(), start=1)
        for text in (f"sample {number}", *(f"{d:.3g}" for d in far))
    ]
    return Samples(
        _woven(samples.data, found.data, order),
        samples.spec,
        _woven(samples.condition, found.condition, order) if with_labels else None,
        columns=k + 1,
        titles=titles,
    )


def _woven(first: Tree, second: Tree, order: Tensor) -> Tree:
    return map_tree(lambda leaf: leaf[order], join_rows([first, second]))


def _chunks(train: View) -> Iterator[tuple[int, Batch]]:
    """All rows in order: the first one's number, and the rows."""
    height = _height(train)
    for start in range(0, len(train), height):
        yield start, _chunk(train, start, height)


def names_of(train: View, rows: Tensor) -> list[str]:
    """Where those rows come from, as the search has seen them; empty where the data cannot say."""
    height = _height(train)
    names: dict[int, str] = {}
    for start in torch.unique(rows // height * height).tolist():
        indices, key = _part(train, start, height)
        names |= zip(indices.tolist(), origins(train, indices, key), strict=False)
    return [names[row] for row in rows.tolist()] if names else []


def _part(train: View, start: int, height: int) -> tuple[Tensor, Key]:
    """The rows of a chunk and the key of their draws."""
    return torch.arange(start, min(start + height, len(train))), Key.of("neighbours", start)


def _height(train: View) -> int:
    """Rows of a chunk. Few large ones: in each the nearest are measured exactly."""
    row = take(train, torch.tensor([0]), Key.of("neighbours"))
    return max(1, VALUES // sum(leaf.numel() for leaf in leaves(row.data)))


def _chunk(train: View, start: int, height: int) -> Batch:
    """The same each time, for views that cut or draw as well."""
    return take(train, *_part(train, start, height))


def _taken(train: View, rows: Tensor) -> Batch:
    """Those rows as the search has seen them."""
    height = _height(train)
    first = rows // height * height
    parts, places = [], []
    for start in torch.unique(first).tolist():
        here = torch.nonzero(first == start).flatten()
        parts.append(_picked(_chunk(train, start, height), rows[here] - start))
        places.append(here)
    data = join_rows([part.data for part in parts])
    condition = None if parts[0].condition is None else join_rows([part.condition for part in parts])
    return _picked(Batch(data, condition), torch.cat(places).argsort())


def _picked(batch: Batch, indices: Tensor) -> Batch:
    return Batch(*(map_tree(lambda leaf: leaf[indices], tree) for tree in (batch.data, batch.condition)))


@dataclass(frozen=True)
class HeldOut:
    """Rows of valid, and where they come from; no names where the data cannot say."""

    rows: Batch
    names: Sequence[str]


def _held_out(reference: Reference) -> HeldOut | None:
    valid = view_of(reference.data, "valid")
    if not len(valid):
        return None
    key = Key.of("neighbours", "valid")
    indices, draws = key.permutation(len(valid))[:HELD_OUT], key / "rows"
    return HeldOut(take(valid, indices, draws), origins(valid, indices, draws))


def _embedded(maps: Maps, batch: Batch, keep: bool) -> Tensor:
    """Raises DataError where they are not finite, so that no row is near."""
    features = maps.see(replace(batch, condition=None), keep).features
    assert features is not None
    if broken := broken_rows(features, "features"):
        raise DataError(
            f"the features of {broken:,} of {len(features):,} samples and held-out rows are not finite",
            "give others with --features",
        )
    return features


def _cache() -> Path:
    return cache_folder() / "evaluation"


def _look(maps: Maps, model: Model, reference: Reference, asked: Asked) -> Features:
    """Give the maps their features: by default those in which near is what people see or hear as near."""
    judging = Judging(
        model.domain, reference, _cache() / "judges", model.device, asked.data_root, announce=asked.announce
    )
    bench = Workbench(reference.data, _cache(), judging, asked.announce)
    entries = features_for(model.domain, reference.data.spec, asked.announce)
    preparing = Preparing(entries, bench)
    preparing.look(maps, preparing.choose(asked.features or model.domain.closeness))
    assert maps.features is not None
    return maps.features
