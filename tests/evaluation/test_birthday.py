"""Birthday test: a support that is known is found; where nothing repeats a bound is given, not infinity."""

from __future__ import annotations

import math

import pytest
import torch
from evidences import featured, holds
from scipy.stats import poisson
from torch import Tensor

from gancore.evaluation.evidence import Evidence
from gancore.evaluation.measures import birthday
from gancore.runtime.randomness import Key

D = 24
REAL = Key.of("real").normal(2000, D)


def from_book(entries: int, s: int, seed: int = 0, jitter: float = 0.0) -> Evidence:
    """s samples of a book of so many rows, all equally likely."""
    key = Key.of("book", seed)
    fake = key.normal(entries, D)[(key / "which").integers(entries, s)]
    return featured(fake + jitter * (key / "jitter").normal(s, D), REAL)


def test_of_ten_thousand_118_samples_have_even_odds_of_a_pair():
    """The closed form; and the figure that is shown for this support."""
    unique = math.prod(1 - i / 10_000 for i in range(118))
    assert unique == pytest.approx(0.5, abs=0.005)
    assert 0.5 + math.sqrt(2 * math.log(2) * 10_000) == pytest.approx(118.2, abs=0.1)


@pytest.mark.parametrize("jitter", [0.0, 0.01])
def test_a_book_of_ten_thousand_is_recovered_whether_repeats_are_exact_or_near(jitter):
    evidence = from_book(10_000, 2000, jitter=jitter)
    assert birthday.birthday.compute(evidence) == pytest.approx(10_000, rel=0.2)
    assert holds(10_000, birthday.birthday.interval(evidence))
    even = birthday.birthday.details(evidence)["samples for even odds of a pair"]
    assert even == pytest.approx(118, rel=0.1)


def test_a_collapse_to_a_few_is_counted():
    """Each of 5 rows 40 times: C = 5 * 40 * 39 / 2 of 200 * 199 / 2 pairs."""
    few = Key.of("few").normal(5, D).repeat(40, 1)
    assert birthday.birthday.compute(featured(few, REAL)) == pytest.approx(19_900 / (3900 + 1))


def test_pairs_are_those_of_brute_force():
    fake = from_book(300, 200, jitter=0.3).fake.features
    distances = torch.cdist(fake.double(), fake.double(), compute_mode="donot_use_mm_for_euclid_dist")
    threshold = float(distances[distances > 0].quantile(0.01))
    expected = (distances <= threshold).sum(1).double() - 1
    assert torch.equal(birthday.count_within(fake, threshold), expected)


def test_exact_repeats_are_found_far_from_the_origin_too():
    far = 1e4 + Key.of("far").normal(100, D)
    assert birthday.count_within(torch.cat([far, far]), 0.0).tolist() == [1.0] * 200


def test_real_rows_are_rarely_one_with_another():
    threshold = birthday.threshold_of(REAL)
    again = (birthday.count_within(REAL, threshold) > 0).double().mean()
    assert 0 < again <= 0.002


def test_real_rows_that_repeat_make_only_equal_rows_one():
    assert birthday.threshold_of(torch.cat([REAL[:50], REAL[:50]])) == 0


def test_where_nothing_repeats_there_is_a_lower_bound_alone():
    evidence = featured(3 * Key.of("wide").normal(200, D), REAL)
    low, high, method = birthday.birthday.interval(evidence)
    assert birthday.birthday.compute(evidence) == 19_900
    assert birthday.birthday.details(evidence)["at least, 95 %"] == pytest.approx(19_900 / -math.log(0.05))
    assert low == pytest.approx(200 * 199 / 2 / -math.log(0.025))
    assert math.isinf(high) and "0 pairs" in method


@pytest.mark.parametrize("mean", [0.7, 5.0])
def test_the_estimate_is_never_too_large_on_average(mean):
    """E possible / (C + 1) = N (1 - exp(-mean)), summed over Poisson's probabilities."""
    counts = range(60)
    estimates = [birthday.support(birthday.Collisions(torch.full((400,), c / 200.0), 0.0)) for c in counts]
    expected = sum(poisson.pmf(c, mean) * estimate for c, estimate in zip(counts, estimates, strict=True))
    assert expected == pytest.approx(400 * 399 / 2 / mean * (1 - math.exp(-mean)), rel=1e-6)


@pytest.mark.parametrize("count", [1, 7, 60])
def test_the_ends_are_the_exact_ones_of_poisson(count):
    low, high = birthday.poisson_ends(count, 1.0)
    assert poisson.sf(count - 1, low) == pytest.approx(0.025)
    assert poisson.cdf(count, high) == pytest.approx(0.025)


def codes(key: Key, s: int, power: float) -> Tensor:
    """Entries of a book of 500, as often as i^-power."""
    edges = (torch.arange(1, 501).double() ** -power).cumsum(0)
    return torch.searchsorted(edges / edges[-1], key.uniform(s).double())


@pytest.mark.parametrize("power", [0.0, 0.8])
def test_pairs_vary_by_what_is_said(power):
    """Over 400 draws of 300 samples, against the variance that each draw estimates by itself."""
    found = []
    for number in range(400):
        code = codes(Key.of("codes", number), 300, power)
        found.append(birthday.Collisions(code.bincount(minlength=500)[code].double() - 1, 0.0))
    pairs = torch.tensor([collisions.pairs for collisions in found])
    said = torch.tensor([birthday.overdispersion(collisions) for collisions in found]).mean()
    assert float(said) == pytest.approx(float(pairs.var() / pairs.mean()), rel=0.25)
