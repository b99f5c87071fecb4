"""Number of statistically different bins: the test is the textbook's, and a known collapse is counted."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from metric_inputs import featured
from refusals import refused
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2_contingency
from sklearn.cluster import kmeans_plusplus

from gancore.errors import ConfigError
from gancore.metrics import bins
from gancore.random import Key


def test_the_z_test_is_that_of_two_proportions():
    """z^2 is Pearson's chi-square of the table of two counts, uncorrected."""
    a, b = torch.tensor([10.0, 40.0, 50.0]), torch.tensor([30.0, 60.0, 110.0])
    for bin_, z in enumerate(bins.z_scores(a, b).double().tolist()):
        table = [[a[bin_], 100 - a[bin_]], [b[bin_], 200 - b[bin_]]]
        assert z**2 == pytest.approx(chi2_contingency(table, correction=False).statistic, rel=1e-6)
    assert bins.z_scores(a, b)[0] < 0 < bins.z_scores(a, b)[1]


def test_by_hand():
    """Ten bins of 100; the samples leave out two and fill two others twice: four differ."""
    real = torch.full((10,), 100.0)
    fake = torch.tensor([0.0, 0, 200, 200] + [100] * 6)
    assert bins.share_different(fake, real) == 0.4
    assert bins.share_different(real, 3 * real) == 0


def test_the_divergence_is_that_of_scipy():
    a, b = torch.tensor([0.0, 40, 50, 10]).double(), torch.tensor([30.0, 60, 0, 110]).double()
    assert bins.jensen_shannon_divergence(a, b) == pytest.approx(jensenshannon(a, b) ** 2, abs=1e-12)
    apart = torch.tensor([1.0, 0]).double(), torch.tensor([0.0, 1]).double()
    assert bins.jensen_shannon_divergence(*apart) == pytest.approx(math.log(2))


@pytest.mark.parametrize(("n", "k"), [(50, 2), (500, 20), (2000, 80), (10_000, 100)])
def test_there_are_as_many_bins_as_the_rule_says(n, k):
    assert bins.number_of_bins(n) == k


def test_of_equal_laws_a_twentieth_of_the_bins_differ():
    train = Key.of("train").normal(2000, 4)
    keys = [Key.of("equal", number) for number in range(12)]
    values = [
        bins.ndb.compute(featured((k / "a").normal(1000, 4), (k / "b").normal(1000, 4), train)) for k in keys
    ]
    assert np.mean(values) == pytest.approx(0.05, abs=3 * math.sqrt(0.05 * 0.95 / (40 * 12)))


def blobs(key: Key, n: int, kinds: int) -> torch.Tensor:
    """Of 20 far blobs the first ``kinds``, all equally often."""
    centres = 20 * Key.of("centres").normal(20, 8)
    return centres[(key / "kind").integers(kinds, n)] + key.normal(n, 8)


def test_half_of_the_kinds_missing_is_seen_in_nearly_all_bins():
    """Shares of the bins left are doubled, the others are empty: divergence 3/4 log 4/3."""
    key = Key.of("half")
    inputs = featured(blobs(key / "a", 1000, 10), blobs(key / "b", 1000, 20), blobs(key / "c", 1000, 20))
    details = bins.ndb.details(inputs)
    assert bins.ndb.compute(inputs) > 0.75
    assert details["Jensen-Shannon divergence, nats"] == pytest.approx(0.75 * math.log(4 / 3), abs=0.03)
    empty = np.array(details["rows in bins"]) == 0
    assert sum(np.array(details["reference rows in bins"])[empty]) == pytest.approx(500, abs=50)
    assert details["reference against train"] < 0.25


def test_the_scale_of_a_coordinate_does_not_matter():
    key, scale = Key.of("scale"), torch.tensor([1e5, 1.0, 1e-5, 1.0])
    sets = [(key / name).normal(500, 4) for name in ("a", "b", "c")]
    assert bins.ndb.compute(featured(*sets)) == bins.ndb.compute(featured(*(x * scale for x in sets)))


def test_there_are_no_more_bins_than_different_rows(recwarn):
    """Three points, K = 40: shares 1/2, 1/2, 0 against a third each."""
    points = torch.tensor([[0.0, 0], [1, 0], [0, 1]])
    three, two = points.repeat(400, 1)[:1000], points[:2].repeat(500, 1)
    details = bins.ndb.details(featured(two, three, three))
    assert details["bins"] == 3 and sorted(details["rows in bins"]) == [0, 500, 500]
    assert bins.ndb.compute(featured(two, three, three)) == 1
    assert not recwarn.list


def test_too_few_rows_are_refused_in_a_line():
    with refused(ConfigError, 20, fix=50):
        bins.ndb.compute(featured(*[Key.of("few").normal(20, 2)] * 3))


@pytest.mark.parametrize("law", ["normal", "whole numbers", "few different rows"])
def test_centres_are_drawn_as_by_scikit_learn(law):
    x = Key.of("centres", law).normal(400, 16).numpy()
    if law == "whole numbers":
        x = np.round(2 * x)
    if law == "few different rows":
        x = np.tile(x[:5], (80, 1))
    for seed in range(3):
        expected, _ = kmeans_plusplus(x, 20, random_state=seed)
        assert np.array_equal(bins.draw_centres(x, 20, np.random.RandomState(seed)), expected)
