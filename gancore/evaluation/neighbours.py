"""The nearest rows of train to samples, and a test whether samples are copies of rows of train."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gancore.data.dataset import Batch, View
from gancore.errors import ConfigError, DataError
from gancore.evaluation.cache import DiskCache
from gancore.evaluation.classifier import evaluation_cache, extractor_loader
from gancore.evaluation.features import FeatureExtractor, FeaturePipeline
from gancore.evaluation.reference import ReferenceData, describe_shapes, open_reference, read_rows
from gancore.metrics.distances import nearest
from gancore.metrics.memorization import NEIGHBOURS, CopyTest, copy_test
from gancore.metrics.metric import count_invalid_rows
from gancore.models.model import Model
from gancore.random import Key, evaluation_key
from gancore.run_folder import RunFolder
from gancore.samples import Samples
from gancore.trees import Tree, tree_cat, tree_leaves, tree_map

MAX_VALUES_IN_MEMORY = 8_000_000
"""The number of values of rows of train that are in memory at a time."""
HELD_OUT_ROWS = 500
"""The largest number of rows of valid for the copy test."""
MIN_SHARING = 4
"""The smallest number of samples whose common nearest row is reported."""
UNCACHED = "coordinates"
"""The extractor whose features are not cached: computing them is as fast as reading them."""


@dataclass(frozen=True)
class NeighbourRequest:
    """The arguments of :func:`gancore.neighbours`."""

    k: int = 5
    features: str | None = None
    against: str | None = None
    data_root: Path | None = None
    announce: Callable[[str], None] = field(default=lambda line: None)


@dataclass(frozen=True)
class NeighbourResult:
    """The nearest rows of train to n samples.

    Attributes:
        samples: each sample, followed by its ``k`` nearest rows of train; n (k + 1) rows.
        train_indices: the indices of these rows in train, (n, k).
        distances: their distances to the sample, (n, k), ascending.
        names: for each sample, the files of these rows; empty if the data name no files.
        shared_row: a line if most samples have one nearest row and held-out rows do not; otherwise empty.
        metadata: the features, the source, and the number of rows that were searched.
    """

    samples: Samples
    train_indices: Tensor
    distances: Tensor
    names: Sequence[Sequence[str]]
    copy_test: CopyTest
    metadata: Mapping[str, Any]
    shared_row: str = ""

    def to_json(self) -> dict[str, Any]:
        verdict = asdict(self.copy_test)
        verdict |= {"significant": self.copy_test.significant, "summary": self.copy_test.summary()}
        verdict = {name: value if value == value else None for name, value in verdict.items()}
        pairs = zip(self.train_indices.tolist(), self.distances.tolist(), strict=True)
        samples: list[dict[str, Any]] = [{"rows": rows, "distances": distances} for rows, distances in pairs]
        for sample, names in zip(samples, self.names, strict=False):
            sample["names"] = list(names)
        content = {**self.metadata, "verdict": verdict, "samples": samples}
        return {**content, "shared_row": self.shared_row} if self.shared_row else content

    def summary(self) -> list[str]:
        """A line for each sample with its nearest train row."""
        nearest_rows = enumerate(zip(self.names, self.distances[:, 0].tolist(), strict=False), start=1)
        return [f"sample {n}: {names[0]}, {distance:.3g} away" for n, (names, distance) in nearest_rows]


def find_neighbours(
    model: Model, samples: Samples, run: RunFolder | None, request: NeighbourRequest
) -> NeighbourResult:
    """Search all rows of train for the nearest neighbours of samples.

    Raises:
        GancoreError: the data are missing or of another kind, or the feature extractor is not available.
    """
    reference = open_reference(model, run, request.against, request.data_root, request.announce)
    if reference.note:
        request.announce(f"warning: {reference.note}")
    train = reference.data.view("train")
    if request.k > len(train):
        raise ConfigError(f"k = {request.k} is larger than the {len(train)} train rows", "give a smaller -k")
    held_out = _held_out(reference)
    first_row = read_rows(train, torch.tensor([0]), evaluation_key("neighbours"))
    if describe_shapes(samples.data) != describe_shapes(first_row.data):
        raise ConfigError(
            "samples and data have different shapes", "give data of the same kind as the model's"
        )
    cache = DiskCache(evaluation_cache() / "sets", request.announce)
    pipeline = FeaturePipeline(reference.data.spec, model.device, cache)
    features = _load_extractor(pipeline, model, reference, request)
    request.announce(f"searching {len(train):,} rows of train, by {features.name}")
    both = Batch(samples.data if held_out is None else tree_cat([samples.data, held_out.rows.data]))
    x = _extract_finite(pipeline, both, cache=False)
    distances, rows = search_train(x, train, pipeline, max(request.k, NEIGHBOURS))
    n, k = len(samples), request.k
    flat = names_of(train, rows[:n, :k].flatten())
    return NeighbourResult(
        interleave(samples, train, rows[:n, :k], distances[:n, :k]),
        rows[:n, :k],
        distances[:n, :k],
        [flat[start : start + k] for start in range(0, len(flat), k)],
        _test_for_copies(distances, rows, n, train, held_out),
        {
            "features": {"name": features.name, "hash": features.digest},
            "source": reference.source.name,
            "train": len(train),
            "note": reference.note,
        },
        describe_shared_row(rows[:n, 0], rows[n:, 0]),
    )


def describe_shared_row(nearest_rows: Tensor, held_out: Tensor) -> str:
    """One line if more than half of the samples have one nearest row of train; otherwise empty.

    Both arguments are indices of nearest rows, of samples (n) and of held-out rows (m). Nothing is reported
    for fewer than 4 samples, or if more than half of the held-out rows have one nearest row as well.
    """
    shares = [_share_of_commonest(rows) for rows in (nearest_rows, held_out)]
    n, most = len(nearest_rows), round(shares[0] * len(nearest_rows))
    if n < MIN_SHARING or shares[0] <= 0.5 or shares[1] > 0.5:
        return ""
    who = f"all {n}" if most == n else f"{most} of {n}"
    return f"{who} samples have the same nearest row of train: they may be one and the same sample"


def _share_of_commonest(indices: Tensor) -> float:
    return float(torch.unique(indices, return_counts=True)[1].max()) / len(indices) if len(indices) else 0.0


def _test_for_copies(
    distances: Tensor, rows: Tensor, n: int, train: View, held_out: HeldOutRows | None
) -> CopyTest:
    """Test for copies. The first ``n`` rows belong to samples, the others to held-out rows."""
    found = copy_test(distances[:n], distances[n:], rows[:n, 0])
    if not found.undecided or held_out is None or not held_out.names:
        return found
    equal = torch.nonzero(distances[n:, 0] == 0).flatten()
    train_names = names_of(train, rows[n:, 0][equal])
    pairs = [(held_out.names[row], name) for row, name in zip(equal.tolist(), train_names, strict=True)]
    return replace(found, duplicates=pairs)


def search_train(x: Tensor, train: View, pipeline: FeaturePipeline, count: int) -> tuple[Tensor, Tensor]:
    """The nearest rows of train for each row of x (n, d): distances, ascending, and indices, (n, count)."""
    best = torch.empty(len(x), 0, dtype=torch.float64)
    rows = torch.empty(len(x), 0, dtype=torch.int64)
    for start, batch in _train_chunks(train):
        use_cache = pipeline.features is not None and pipeline.features.name != UNCACHED
        y = _extract_finite(pipeline, batch, use_cache)
        distance, found = nearest(x, y, min(count, len(y)))
        joined, numbers = torch.cat([best, distance], 1), torch.cat([rows, found + start], 1)
        best, order = joined.sort(dim=1, stable=True)
        best, rows = best[:, :count], numbers.gather(1, order)[:, :count]
    return best, rows


def interleave(samples: Samples, train: View, rows: Tensor, distances: Tensor) -> Samples:
    """Samples in which each sample is followed by its ``rows`` (n, k) of train, titled with the distance."""
    n, k = rows.shape
    found = _read_train_rows(train, rows.flatten())
    order = torch.cat([torch.arange(n).unsqueeze(1), n + torch.arange(n * k).view(n, k)], 1).flatten()
    with_labels = samples.condition is not None and found.condition is not None
    titles = [
        text
        for number, distance in enumerate(distances.tolist(), start=1)
        for text in (f"sample {number}", *(f"{d:.3g}" for d in distance))
    ]
    return Samples(
        _join_in_order(samples.data, found.data, order),
        samples.spec,
        _join_in_order(samples.condition, found.condition, order) if with_labels else None,
        columns=k + 1,
        headings=titles,
    )


def _join_in_order(first: Tree, second: Tree, order: Tensor) -> Tree:
    return tree_map(lambda leaf: leaf[order], tree_cat([first, second]))


def _train_chunks(train: View) -> Iterator[tuple[int, Batch]]:
    """All rows of train in order, in chunks: the index of the first row, and the rows."""
    chunk_rows = _chunk_size(train)
    for start in range(0, len(train), chunk_rows):
        yield start, _read_chunk(train, start, chunk_rows)


def names_of(train: View, rows: Tensor) -> list[str]:
    """The origins of these rows, as the search read them; empty if the data do not name them."""
    chunk_rows = _chunk_size(train)
    names: dict[int, str] = {}
    for start in torch.unique(rows // chunk_rows * chunk_rows).tolist():
        indices, key = _chunk_indices(train, start, chunk_rows)
        names |= zip(indices.tolist(), train.get_origins(indices, key), strict=False)
    return [names[row] for row in rows.tolist()] if names else []


def _chunk_indices(train: View, start: int, chunk_rows: int) -> tuple[Tensor, Key]:
    """The indices of the rows of a chunk, and the key with which they are read."""
    return torch.arange(start, min(start + chunk_rows, len(train))), evaluation_key("neighbours", start)


def _chunk_size(train: View) -> int:
    """The number of rows of a chunk. It is large: the nearest rows of each chunk are computed exactly."""
    row = read_rows(train, torch.tensor([0]), evaluation_key("neighbours"))
    return max(1, MAX_VALUES_IN_MEMORY // sum(leaf.numel() for leaf in tree_leaves(row.data)))


def _read_chunk(train: View, start: int, chunk_rows: int) -> Batch:
    """Read a chunk. The rows are the same each time, also for views that crop or augment at random."""
    return read_rows(train, *_chunk_indices(train, start, chunk_rows))


def _read_train_rows(train: View, rows: Tensor) -> Batch:
    """These rows, as the search read them."""
    chunk_rows = _chunk_size(train)
    first = rows // chunk_rows * chunk_rows
    parts, places = [], []
    for start in torch.unique(first).tolist():
        here = torch.nonzero(first == start).flatten()
        parts.append(_read_chunk(train, start, chunk_rows).select(rows[here] - start))
        places.append(here)
    data = tree_cat([part.data for part in parts])
    condition = None if parts[0].condition is None else tree_cat([part.condition for part in parts])
    return Batch(data, condition).select(torch.cat(places).argsort())


@dataclass(frozen=True)
class HeldOutRows:
    """Rows of valid and their origins; ``names`` is empty if the data do not name them."""

    rows: Batch
    names: Sequence[str]


def _held_out(reference: ReferenceData) -> HeldOutRows | None:
    valid = reference.data.view("valid")
    if not len(valid):
        return None
    key = evaluation_key("neighbours", "valid")
    indices, draws = key.permutation(len(valid))[:HELD_OUT_ROWS], key / "rows"
    return HeldOutRows(read_rows(valid, indices, draws), valid.get_origins(indices, draws))


def _extract_finite(pipeline: FeaturePipeline, batch: Batch, cache: bool) -> Tensor:
    """Features of these rows. Raises DataError if they are not finite: distances would be undefined."""
    features = pipeline.extract(replace(batch, condition=None), cache).features
    assert features is not None
    if invalid := count_invalid_rows(features, "features"):
        raise DataError(
            f"the features of {invalid:,} of {len(features):,} samples and held-out rows are not finite",
            "choose another with --feature-extractor",
        )
    return features


def _load_extractor(
    pipeline: FeaturePipeline, model: Model, reference: ReferenceData, request: NeighbourRequest
) -> FeatureExtractor:
    """Load the extractor: by default the domain's ``closeness``, whose distances match perception."""
    loader = extractor_loader(model, reference, request.data_root, announce=request.announce)
    loader.load_extractor(pipeline, loader.choose(request.features or model.domain.neighbour_features))
    assert pipeline.features is not None
    return pipeline.features
