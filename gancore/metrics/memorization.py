"""Does the model reproduce its train rows? Copies, authenticity, and the distance to the nearest train row.

:func:`copy_test` is a test whether samples are copies of train rows, calibrated on held-out rows. Train is
given, so the metrics hold for these train rows; a copy of a row that is not among them is not detected.
Distances are Euclidean, in features.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from scipy.stats import hypergeom, nhypergeom
from torch import Tensor

from gancore.errors import ConfigError, DataError
from gancore.metrics.birthday import coincidence_threshold, count_neighbours_within
from gancore.metrics.distances import nearest
from gancore.metrics.intervals import clopper_pearson, subsample_error, t_interval
from gancore.metrics.metric import Interval, Metric, MetricInputs, SampleSet, once
from gancore.metrics.two_sample import placements
from gancore.random import Key

NEIGHBOURS = 50
"""Nearest train rows whose distances give the scale around a sample."""
MIN_TRAIN_ROWS = 3
"""Rows of train: the nearest, the next, and one more that gives the scale of distances."""
EQUAL_TOLERANCE = 1e-5
"""Relative to the largest of the neighbours' distances: smaller differences are rounding."""
LEVEL = 0.01
"""Share of held-out rows above the threshold."""
SIGNIFICANCE = 0.01
"""p value below which samples show a sign of copies."""
DUPLICATES_SHOWN = 3


@dataclass(frozen=True)
class CopyTest:
    """``n_near`` of ``n`` samples are as near to a train row as the nearest ``level`` of ``held_out`` rows.

    ``threshold``: of :func:`nearest_gap`. ``p_value``: the probability of ``n_near`` or more, if samples
    are like held-out rows. ``nearer_share``: the share of samples whose plain distance is below that of as
    many held-out rows; it is reported and not used for the decision, because smooth samples are near
    whether or not they are copies. ``n_equal``: held-out rows that are also in train. ``undecided``: why
    the test cannot decide; empty: it can. ``duplicates``: names of held-out rows that are also in train,
    each with its train row, if the data name rows.
    """

    n: int
    held_out: int
    level: float = math.nan
    threshold: float = math.nan
    n_near: int = 0
    p_value: float = math.nan
    nearer_share: float = math.nan
    n_equal: int = 0
    undecided: str = ""
    duplicates: Sequence[tuple[str, str]] = ()

    @property
    def significant(self) -> bool | None:
        """Whether there is a sign of copies; None: the test is undecided."""
        return None if self.undecided else self.p_value < SIGNIFICANCE

    def summary(self) -> str:
        """One line for users."""
        if self.undecided:
            return f"the copy test is undecided: {self.undecided}{self._list_duplicates()}"
        low, high, _ = clopper_pearson(self.n_near, self.n)
        sign = "a sign of copies" if self.significant else "no sign of copies"
        return (
            f"{sign}: {self.n_near} of {self.n} samples "
            f"(95 % interval: {low:.0%} to {high:.0%}) are unusually near to one train row, against "
            f"{self.level:.1%} of {self.held_out:,} held-out rows; p = {self.p_value:.2g}"
        )

    def _list_duplicates(self) -> str:
        """The first few pairs of equal rows, and how to fix them."""
        if not self.duplicates:
            return ""
        listed = "; ".join(f"{held_out} is {train}" for held_out, train in self.duplicates[:DUPLICATES_SHOWN])
        more = len(self.duplicates) - DUPLICATES_SHOWN
        rest = f"; and {more:,} more" if more > 0 else ""
        return f" ({listed}{rest}). Remove one row of each pair, then train again"


def nearest_gap(distances: Tensor) -> Tensor:
    """How much nearer the nearest train row is than the other distances predict, (n); infinite at an equal
    row.

    From distances (n, J) to the nearest train rows, ascending: log(d_2 / d_1) over the mean of j log(d_{j+1}
    / d_j), j = 2 to J - 1. If rows lie around a sample with a density in D dimensions, all j log(d_{j+1} /
    d_j) are exponential with mean 1 / D, for every D and density (Renyi 1953, Levina and Bickel 2005), so
    that the ratio has one distribution for all samples, in the middle of the data and at their border. The
    nearest distance over the mean of the nearest 50 (Carlini et al. 2023) does not: in many dimensions it
    flags samples as copies that shrink towards the mean.

    Distances that are equal up to rounding are those of equal train rows, and count as one.
    """
    nearest, rounding = distances[:, 0], EQUAL_TOLERANCE * distances[:, -1]
    others = distances.masked_fill(distances <= (nearest + rounding).unsqueeze(1), math.inf).amin(1)
    steps = distances.clamp_min(1e-300).log().diff(dim=1)[:, 1:]
    scale = (steps * torch.arange(2, distances.shape[1])).mean(1)
    found = (others / nearest.clamp_min(1e-300)).log() / scale.clamp_min(1e-300)
    found = torch.where(others.isinf(), 0.0, found)
    return torch.where(nearest <= rounding, math.inf, found)


def copy_test(fake: Tensor, held_out: Tensor, nearest_rows: Tensor) -> CopyTest:
    """Tests distances to the nearest train rows, ascending: of samples (n, J) and of held-out rows (m, J).

    The threshold t is the q-th largest gap of the held-out rows, q = 1 % of m + 1. If samples were like
    held-out rows, the number of samples above t would be negative hypergeometric for every distribution of
    gaps, because it depends only on the order of the gaps. If so many held-out rows are equal to train rows
    that t is infinite, samples that are equal to a train row are compared with them (Fisher's exact test).

    ``nearest_rows`` (n): the nearest train row of each sample. In many dimensions a few rows are the
    nearest of many samples, above all of samples that shrink towards the mean; these are all near, or none
    of them is. So the test counts n / D samples, n_near / D of them near, D being the mean number of near
    samples that share their row with one of them, itself included.
    """
    n, m = len(fake), len(held_out)
    if not m or fake.shape[1] < MIN_TRAIN_ROWS:
        missing = "there are no held-out rows" if not m else f"train has fewer than {MIN_TRAIN_ROWS} rows"
        return CopyTest(n, m, undecided=missing)
    q = max(1, math.floor(LEVEL * (m + 1)))
    fake_gaps, held_out_gaps = nearest_gap(fake), nearest_gap(held_out)
    t, plain_threshold = float(held_out_gaps.sort().values[-q]), float(held_out[:, 0].sort().values[q - 1])
    n_equal = int(held_out_gaps.isinf().sum())
    hits = fake_gaps.isinf() if math.isinf(t) else fake_gaps > t
    n_near, nearer_share = int(hits.sum()), float((fake[:, 0] < plain_threshold).double().mean())
    shared_counts = torch.unique(nearest_rows[hits], return_counts=True)[1].double()
    per_row = float(shared_counts.square().sum() / shared_counts.sum()) if n_near else 1.0
    trials, effective_near = max(1, round(n / per_row)), math.ceil(n_near / per_row)
    if math.isinf(t):
        p_value = float(hypergeom.sf(effective_near - 1, trials + m, effective_near + n_equal, trials))
        undecided = f"{n_equal:,} of {m:,} held-out rows stand in train themselves"
        return CopyTest(n, m, n_equal / m, t, n_near, p_value, nearer_share, n_equal, undecided)
    p_value = float(nhypergeom.sf(effective_near - 1, trials + m, trials, q))
    return CopyTest(n, m, q / (m + 1), t, n_near, p_value, nearer_share, n_equal)


class _CopyEvidence(NamedTuple):
    """``coincidence``: the mean number of samples that a sample coincides with, itself included."""

    test: CopyTest
    coincidence: float


@once
def copy_result(inputs: MetricInputs) -> _CopyEvidence:
    """The copy test with the reference as held-out rows.

    Raises:
        ConfigError: there are no features, or train has too few rows.
        DataError: the reference is part of train.
    """
    fake, real, train = (part.require_features() for part in (inputs.fake, inputs.real, inputs.train))
    (fake_distances, rows), (real_distances, _) = _nearest_train(fake, train), _nearest_train(real, train)
    test = copy_test(fake_distances, real_distances, rows[:, 0])
    if math.isnan(test.level):
        raise ConfigError(
            f"the copy test needs more rows: {test.undecided}", "add rows to train or to the reference split"
        )
    if test.level == 1:
        raise DataError(
            "all reference rows are also in train", "use a reference split that is disjoint from train"
        )
    return _CopyEvidence(
        test, 1 + float(count_neighbours_within(fake, (_coincidence_radius(real),))[0].mean())
    )


@lru_cache(maxsize=8)
def _nearest_train(x: Tensor, train: Tensor) -> tuple[Tensor, Tensor]:
    """Cached, since controls share the real and train rows; tensors are compared by identity."""
    return nearest(x, train, min(NEIGHBOURS, len(train)))


def _coincidence_radius(real: Tensor) -> float:
    """The distance within which two samples coincide, as in the birthday test."""
    try:
        return coincidence_threshold(real)[0]
    except DataError:  # real rows that are all equal
        return 0.0


def copy_share(difference: float, level: float, searched: float) -> float:
    """The share c of copies from s - q (``difference``), within [0, 1].

    s is the share of samples, and q (``level``) that of reference rows, that are as near to a train row. Of
    all copies the share f (``searched``) is found, f being the share of train that is searched; a copy of
    another row is like a held-out row. So s = c f + (1 - c f) q, and c = (s - q) / (1 - q) / f.
    """
    return min(1.0, max(0.0, difference / (1 - level) / searched))


def _copies_value(inputs: MetricInputs) -> float:
    test = copy_result(inputs).test
    return copy_share(test.n_near / test.n - test.level, test.level, inputs.train_fraction)


def _copies_interval(inputs: MetricInputs) -> Interval:
    """From 0 if there is no sign of copies."""
    low, high = _share_bounds(inputs)
    trained = inputs.train_size or len(inputs.train)
    method = (
        f"Clopper-Pearson of samples and of reference rows, from 0 where p is over {SIGNIFICANCE:.0%}; "
        f"{len(inputs.train):,} of {trained:,} rows of train looked at"
    )
    return Interval(low if is_significant(inputs) else 0.0, high, method)


def _share_bounds(inputs: MetricInputs) -> tuple[float, float]:
    """Bounds of s - q, the share of near samples minus that of reference rows.

    The lower one is from the bounds of each (MOVER: Zou and Donner 2008); s is a binomial share, q a share
    of the reference rows, of which the threshold is an order statistic. The upper one is that of s alone,
    since samples that are no copies may be near less often than the reference rows are.

    If only a part of train is searched, it depends on chance whether this part contains a row that many
    samples copy. These samples then count as one trial: n is divided by the mean number of samples that
    coincide.
    """
    (test, coincidence), searched = copy_result(inputs), inputs.train_fraction
    trials = test.n if searched == 1 else test.n / coincidence
    s, q = test.n_near / test.n, test.level
    s_low, s_high, _ = clopper_pearson(s * trials, trials)
    q_high = clopper_pearson(round(q * test.held_out), test.held_out).high
    low = s - q - math.sqrt((s - s_low) ** 2 + (q_high - q) ** 2)
    return copy_share(low, q, searched), copy_share(s_high, 0.0, searched)


def is_significant(inputs: MetricInputs) -> bool:
    """Whether there is a sign of copies."""
    return copy_result(inputs).test.p_value < SIGNIFICANCE


def _copies_caveat(inputs: MetricInputs) -> str:
    """Samples near to the same few rows may be near by chance, however many they are."""
    test = copy_result(inputs).test
    if test.undecided:
        return test.undecided.replace("held-out", "reference")
    by_chance = not is_significant(inputs) and _share_bounds(inputs)[0] > 0
    return f"{test.n_near:,} samples are near to a few rows, which may be chance" if by_chance else ""


def _copies_details(inputs: MetricInputs) -> Mapping[str, Any]:
    """``p value``: of this many near samples or more, if samples are like reference rows."""
    test = copy_result(inputs).test
    return {
        "p value": test.p_value,
        "samples as near to a train row": test.n_near,
        "share of reference rows as near": test.level,
        "reference rows that stand in train": test.n_equal,
        "rows of train looked at": len(inputs.train),
        "rows of train": inputs.train_size or len(inputs.train),
        "share of train looked at": inputs.train_fraction,
    }


copies = Metric(
    compute=_copies_value,
    interval=_copies_interval,
    unit="share of samples",
    details=_copies_details,
    requires=frozenset({"features", "train"}),
    insensitive_to=frozenset({"noise", "collapse", "shrunk", "widened", "points"}),
    caveat=_copies_caveat,
    kind="memory",
)


RATIO_SUBSETS, RATIO_FRACTION = 200, 0.25


class NearestTrain(NamedTuple):
    """For each row of a set its nearest train row: the distance (n) and which it is (n)."""

    distance: Tensor
    row: Tensor


def nearest_train_rows(sampled: SampleSet, inputs: MetricInputs) -> NearestTrain:
    distance, row = _nearest_train(sampled.require_features(), inputs.train.require_features())
    return NearestTrain(distance[:, 0], row[:, 0])


# Authenticity.


def authentic(nearest_rows: NearestTrain, train: Tensor) -> Tensor:
    """Which rows (booleans) are farther from the nearest train row than that row is from its next one.

    Alaa et al. 2022, "How faithful is your synthetic data?": d(x, t*) > min_{t /= t*} d(t*, t).
    """
    hit_rows, position = torch.unique(nearest_rows.row, return_inverse=True)
    own_distance = nearest(train[hit_rows], train, 2)[0][:, 1]  # the first is the row itself, or an equal one
    return nearest_rows.distance > own_distance[position]


def _authentic(sampled: SampleSet, inputs: MetricInputs) -> Tensor:
    return authentic(nearest_train_rows(sampled, inputs), inputs.train.require_features())


def _authenticity_interval(inputs: MetricInputs) -> Interval:
    """Binomial: given train, each sample is authentic or not, independently of the others."""
    authentic_rows = _authentic(inputs.fake, inputs)
    return clopper_pearson(int(authentic_rows.sum()), len(authentic_rows))


def _authenticity_details(inputs: MetricInputs) -> Mapping[str, Any]:
    return {
        "of reference rows": float(_authentic(inputs.real, inputs).double().mean()),
        "rows of train": len(inputs.train),
    }


def _authenticity_caveat(inputs: MetricInputs) -> str:
    """Samples in the middle of the data are nearer to train than its own rows, copies or not."""
    high = _authenticity_interval(inputs).high
    below_reference = high < float(_authentic(inputs.real, inputs).double().mean())
    is_explained = below_reference and not is_significant(inputs)
    return "smooth or shrunken samples are near too; see copies" if is_explained else ""


# The ratio of distances.


def distance_ratio(fake: Tensor, real: Tensor) -> float:
    """Median distance of samples (n) to train over that of reference rows (m)."""
    reference_median = real.quantile(0.5)
    if reference_median == 0:
        raise DataError(
            "half of the reference rows are also in train",
            "use a reference split that is disjoint from train",
        )
    return float(fake.quantile(0.5) / reference_median)


def _train_distances(inputs: MetricInputs) -> tuple[Tensor, Tensor]:
    return nearest_train_rows(inputs.fake, inputs).distance, nearest_train_rows(inputs.real, inputs).distance


def _ratio_interval(inputs: MetricInputs) -> Interval:
    """Distances are computed once; subsets of them without replacement give the error."""
    fake, real = (distances.sort().values for distances in _train_distances(inputs))

    def subset(distances: Tensor, key: Key) -> Tensor:
        return distances[key.permutation(len(distances))[: max(1, round(RATIO_FRACTION * len(distances)))]]

    keys = [inputs.key / "subset" / number for number in range(RATIO_SUBSETS)]
    values = torch.tensor(
        [distance_ratio(subset(fake, key / "fake"), subset(real, key / "real")) for key in keys]
    )
    method = (
        f"{RATIO_SUBSETS} subsets of a quarter of the {len(fake)} and {len(real)} distances, "
        "without replacement"
    )
    low, high, _ = t_interval(
        distance_ratio(fake, real), subsample_error(values, RATIO_FRACTION), RATIO_SUBSETS - 1, method
    )
    return Interval(max(low, 0.0), high, method)


def _ratio_details(inputs: MetricInputs) -> Mapping[str, Any]:
    """``nearer than reference rows``: 1/2 if the samples are like unseen data (Meehan et al. 2020)."""
    fake, real = _train_distances(inputs)
    return {
        "median distance to train": float(fake.quantile(0.5)),
        "of reference rows": float(real.quantile(0.5)),
        "nearer than reference rows": 1 - float(placements(fake, real).mean()),
        "equal to a train row": float((fake == 0).double().mean()),
        "rows of train": len(inputs.train),
    }


authenticity = Metric(
    compute=lambda inputs: float(_authentic(inputs.fake, inputs).double().mean()),
    interval=_authenticity_interval,
    unit="share of samples",
    higher_is_better=True,
    details=_authenticity_details,
    requires=frozenset({"features", "train"}),
    insensitive_to=frozenset({"noise", "collapse", "shrunk", "widened", "points"}),
    kind="memory",
    quick=False,
    caveat=_authenticity_caveat,
)
nearest_train = Metric(
    compute=lambda inputs: distance_ratio(*_train_distances(inputs)),
    interval=_ratio_interval,
    unit="ratio of distances",
    higher_is_better=None,
    details=_ratio_details,
    requires=frozenset({"features", "train"}),
    insensitive_to=frozenset({"collapse", "shrunk", "widened", "points"}),
    kind="memory",
)
"""1: as far from train as unseen data; far below 1: memorised; above 1: elsewhere."""
