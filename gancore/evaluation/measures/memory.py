"""Does the model give back what it was trained on? Distances of samples to the nearest row of train.

Train is given, so what is said of the samples holds for these train rows; a copy of a row that is not among
them goes unseen. Distances are Euclidean, in features.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gancore.errors import ConfigError, DataError
from gancore.evaluation.distances import nearest
from gancore.evaluation.evidence import Evidence, Sampled
from gancore.evaluation.intervals import around, clopper_pearson, subset_error
from gancore.evaluation.measure import Interval, Measure
from gancore.evaluation.measures.copies import sign_of
from gancore.evaluation.measures.ranking import placements
from gancore.runtime.randomness import Key

SUBSETS, FRACTION = 200, 0.25


class Nearest(NamedTuple):
    """For each row of a set its nearest train row: the distance (n) and which it is (n)."""

    distance: Tensor
    row: Tensor


def features_of(sampled: Sampled) -> Tensor:
    if sampled.features is None:
        raise ConfigError("a measure of memory without features", "choose features")
    return sampled.features


def to_train(sampled: Sampled, evidence: Evidence) -> Nearest:
    distance, row = nearest(features_of(sampled), features_of(evidence.train), 1)
    return Nearest(distance.flatten(), row.flatten())


# Authenticity.


def authentic(found: Nearest, train: Tensor) -> Tensor:
    """Which rows (booleans) are farther from their nearest train row than that is from its own nearest other.

    Alaa et al. 2022, "How faithful is your synthetic data?": d(x, t*) > min_{t /= t*} d(t*, t).
    """
    hit, back = torch.unique(found.row, return_inverse=True)
    own = nearest(train[hit], train, 2)[0][:, 1]  # the nearest of all is itself, or a row equal to it
    return found.distance > own[back]


def _authentic(sampled: Sampled, evidence: Evidence) -> Tensor:
    return authentic(to_train(sampled, evidence), features_of(evidence.train))


def _authenticity_interval(evidence: Evidence) -> Interval:
    """Given train, each sample is authentic or not by itself, independently of the others: a binomial."""
    hits = _authentic(evidence.fake, evidence)
    return clopper_pearson(int(hits.sum()), len(hits))


def _authenticity_details(evidence: Evidence) -> Mapping[str, Any]:
    return {
        "of reference rows": float(_authentic(evidence.real, evidence).double().mean()),
        "rows of train": len(evidence.train),
    }


def _authenticity_doubt(evidence: Evidence) -> str:
    """Samples in the middle of the data are nearer to train than its own rows are, copies or not."""
    high = _authenticity_interval(evidence).high
    below = high < float(_authentic(evidence.real, evidence).double().mean())
    return "smooth or shrunken samples are near too; see copies" if below and not sign_of(evidence) else ""


# The ratio of distances.


def ratio(fake: Tensor, real: Tensor) -> float:
    """Median distance of samples (n) to train over that of reference rows (m)."""
    below = real.quantile(0.5)
    if below == 0:
        raise DataError("half of the reference rows stand in train", "hold out rows that do not")
    return float(fake.quantile(0.5) / below)


def _distances(evidence: Evidence) -> tuple[Tensor, Tensor]:
    return to_train(evidence.fake, evidence).distance, to_train(evidence.real, evidence).distance


def _ratio_interval(evidence: Evidence) -> Interval:
    """Distances are taken once; subsets of them without replacement give the error."""
    fake, real = (distances.sort().values for distances in _distances(evidence))

    def part(distances: Tensor, key: Key) -> Tensor:
        return distances[key.permutation(len(distances))[: max(1, round(FRACTION * len(distances)))]]

    keys = [evidence.key / "subset" / number for number in range(SUBSETS)]
    values = torch.tensor([ratio(part(fake, key / "fake"), part(real, key / "real")) for key in keys])
    method = (
        f"{SUBSETS} subsets of a quarter of the {len(fake)} and {len(real)} distances, without replacement"
    )
    low, high, _ = around(ratio(fake, real), subset_error(values, FRACTION), SUBSETS - 1, method)
    return Interval(max(low, 0.0), high, method)


def _ratio_details(evidence: Evidence) -> Mapping[str, Any]:
    """``nearer than reference rows``: 1/2 where the samples are like unseen data (Meehan et al. 2020)."""
    fake, real = _distances(evidence)
    return {
        "median distance to train": float(fake.quantile(0.5)),
        "of reference rows": float(real.quantile(0.5)),
        "nearer than reference rows": 1 - float(placements(fake, real).mean()),
        "equal to a train row": float((fake == 0).double().mean()),
        "rows of train": len(evidence.train),
    }


authenticity = Measure(
    compute=lambda evidence: float(_authentic(evidence.fake, evidence).double().mean()),
    interval=_authenticity_interval,
    unit="share of samples",
    better="higher",
    details=_authenticity_details,
    needs=frozenset({"features", "train"}),
    blind=frozenset({"noise", "collapse", "shrunk", "widened", "points"}),
    kind="memory",
    quick=False,
    doubt=_authenticity_doubt,
)
nearest_train = Measure(
    compute=lambda evidence: ratio(*_distances(evidence)),
    interval=_ratio_interval,
    unit="ratio of distances",
    better=None,
    details=_ratio_details,
    needs=frozenset({"features", "train"}),
    blind=frozenset({"collapse", "shrunk", "widened", "points"}),
    kind="memory",
)
"""1: as far from train as unseen data; far below: memorised; above: somewhere else."""
