"""Birthday test: a support that is known is found; where nothing repeats a bound is given, not infinity."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from metric_inputs import featured, holds
from refusals import refused
from scipy.stats import poisson
from torch import Tensor

from gancore.errors import DataError
from gancore.metrics import birthday
from gancore.metrics.metric import MetricInputs
from gancore.random import Key

D = 24
REAL = Key.of("real").normal(2000, D)


def from_book(entries: int, s: int, seed: int = 0, jitter: float = 0.0) -> MetricInputs:
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
    inputs = from_book(10_000, 2000, jitter=jitter)
    assert birthday.birthday.compute(inputs) == pytest.approx(10_000, rel=0.2)
    assert holds(10_000, birthday.birthday.interval(inputs))
    even = birthday.birthday.details(inputs)["samples for even odds of a pair"]
    assert even == pytest.approx(118, rel=0.1)


def test_a_collapse_to_a_few_is_counted():
    """Each of 5 rows 40 times: C = 5 * 40 * 39 / 2 of 200 * 199 / 2 pairs."""
    few = Key.of("few").normal(5, D).repeat(40, 1)
    assert birthday.birthday.compute(featured(few, REAL)) == pytest.approx(19_900 / (3900 + 1))


def test_pairs_are_those_of_brute_force():
    fake = from_book(300, 200, jitter=0.3).fake.features
    distances = torch.cdist(fake.double(), fake.double(), compute_mode="donot_use_mm_for_euclid_dist")
    thresholds = tuple(float(distances[distances > 0].quantile(q)) for q in (0.01, 0.1))
    found = birthday.count_neighbours_within(fake, thresholds)
    for counts, threshold in zip(found, thresholds, strict=True):
        assert torch.equal(counts, (distances <= threshold).sum(1).double() - 1)


def test_exact_repeats_are_found_far_from_the_origin_too():
    far = 1e4 + Key.of("far").normal(100, D)
    assert birthday.count_neighbours_within(torch.cat([far, far]), (0.0,))[0].tolist() == [1.0] * 200


def test_the_threshold_is_half_of_what_nine_in_ten_real_rows_keep():
    distances = torch.cdist(REAL.double(), REAL.double()).fill_diagonal_(torch.inf).amin(1)
    threshold, twins = birthday.coincidence_threshold(REAL)
    assert threshold == pytest.approx(float(distances.quantile(0.1)) / 2) and twins == 0
    assert float(birthday.count_neighbours_within(REAL, (threshold,))[0].sum()) == 0


@pytest.mark.parametrize("share", [0.01, 0.05, 0.6])
def test_real_rows_that_repeat_do_not_set_the_threshold(share):
    """Equal rows, and rows that differ by rounding, are one: whatever their share."""
    count = int(share * 1000)
    again = REAL[:count] + 1e-6 * Key.of("rounding").normal(count, D)
    threshold, twins = birthday.coincidence_threshold(torch.cat([REAL[:1000], again]))
    assert threshold == pytest.approx(birthday.coincidence_threshold(REAL[:1000])[0], rel=0.05)
    assert twins == 2 * count


def test_near_twins_of_a_few_real_rows_do_not_set_the_threshold():
    near = REAL[:30] + 0.05 * Key.of("near").normal(30, D)
    twinned = birthday.coincidence_threshold(torch.cat([REAL[:1000], near]))[0]
    assert twinned == pytest.approx(birthday.coincidence_threshold(REAL[:1000])[0], rel=0.1)


def test_a_duplicate_among_real_rows_does_not_make_a_collapse_diverse():
    """200 samples that are nearly white, and eight copies among the real rows: one sample, and surely so."""
    white = 3 + 0.01 * Key.of("white").normal(200, D)
    inputs = featured(white, torch.cat([REAL[:300], REAL[:8]]))
    assert birthday.birthday.compute(inputs) == 1
    low, high, _ = birthday.birthday.interval(inputs)
    assert low == 1 and high < 1.02 and birthday.birthday.caveat(inputs) == ""
    assert birthday.birthday.details(inputs)["real rows that are equal to another"] == 16


def test_real_rows_that_are_all_equal_are_refused_in_a_line():
    with refused(DataError, "equal", fix="--feature-extractor"):
        birthday.birthday.compute(featured(REAL[:100], REAL[:1].expand(100, -1)))


def test_where_nothing_repeats_there_is_a_lower_bound_alone():
    inputs = featured(3 * Key.of("wide").normal(200, D), REAL)
    low, high, method = birthday.birthday.interval(inputs)
    assert birthday.birthday.compute(inputs) == 19_900
    assert birthday.birthday.details(inputs)["at least, 95 %"] == pytest.approx(19_900 / -math.log(0.05))
    assert low == pytest.approx(200 * 199 / 2 / -math.log(0.025))
    assert math.isinf(high) and "0 pairs" in method


LAWS: dict[str, tuple[int, Callable[[Key, int], Tensor]]] = {
    "equal": (8, lambda key, n: key.normal(n, 8)),
    "plane": (2, lambda key, n: key.normal(n, 2)),
    "shrunken": (2, lambda key, n: 0.3 * key.normal(n, 2)),
    "narrower": (64, lambda key, n: 0.9 * key.normal(n, 64)),
    "line": (2, lambda key, n: key.normal(n, 1).expand(n, 2)),
    "uniform": (1, lambda key, n: key.uniform(n, 1)),
}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(("n", "m"), [(300, 300), (800, 200)])
def test_of_a_law_with_a_density_nobody_tells_how_many_there_are(law, n, m):
    """The number follows n; at 95 % one draw in 40 may have an upper end by chance."""
    d, draw = LAWS[law]
    messages = []
    for number in range(6):
        key = Key.of("density", law, number)
        inputs = featured(draw(key / "fake", n), (key / "real").normal(m, d))
        messages.append(birthday.birthday.caveat(inputs))
        assert bool(messages[-1]) == math.isinf(birthday.birthday.interval(inputs).high)
    assert sum("at least" in line for line in messages) >= 5


def test_the_bounds_hold_at_every_threshold_up_to_the_wider_one():
    """1 / K(t) of the law, by many samples, beside the bounds that few give; so h may be off."""
    few, many = from_book(400, 500, 1, jitter=0.05), from_book(400, 4000, 1, jitter=0.05)
    found = birthday.count_collisions(few)
    low, high = birthday.support_bounds(found)
    thresholds = tuple(part * found.threshold for part in (0.5, 1.0, 1.5, 2.0))
    for counts in birthday.count_neighbours_within(many.fake.features, thresholds):
        assert low <= 4000 * 3999 / float(counts.sum()) <= high


@pytest.mark.parametrize("mean", [0.7, 5.0])
def test_the_estimate_is_never_too_large_on_average(mean):
    """E possible / (C + 1) = N (1 - exp(-mean)), summed over Poisson's probabilities."""
    counts = range(60)
    near = [torch.full((400,), c / 200.0) for c in counts]
    estimates = [birthday.support_size(birthday.Collisions(each, each, 0.0)) for each in near]
    expected = sum(poisson.pmf(c, mean) * estimate for c, estimate in zip(counts, estimates, strict=True))
    assert expected == pytest.approx(400 * 399 / 2 / mean * (1 - math.exp(-mean)), rel=1e-6)


@pytest.mark.parametrize("count", [1, 7, 60])
def test_the_ends_are_the_exact_ones_of_poisson(count):
    low, high = birthday.poisson_interval(count, 1.0)
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
        found.append(code.bincount(minlength=500)[code].double() - 1)
    pairs = torch.tensor([float(counts.sum()) / 2 for counts in found])
    said = torch.tensor([birthday.overdispersion(counts) for counts in found]).mean()
    assert float(said) == pytest.approx(float(pairs.var() / pairs.mean()), rel=0.25)
