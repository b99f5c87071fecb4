"""A heavy tail takes trust away, and ordinary laws keep it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from metric_inputs import featured
from torch import Tensor

from gancore.metrics import frechet, kernel, precision_recall, sliced_wasserstein
from gancore.metrics.intervals import (
    caveat_few_rows,
    caveat_heavy_tails,
    caveat_one_feature,
    effective_rows,
    is_heavy_tailed,
    moment_ratio,
)
from gancore.metrics.metric import MetricInputs
from gancore.random import Key

D = 8


def normal(key: Key, n: int) -> Tensor:
    return key.normal(n, D)


def uniform(key: Key, n: int) -> Tensor:
    return key.uniform(n, D)


def clouds(key: Key, n: int) -> Tensor:
    return 6 * torch.nn.functional.one_hot((key / "which").integers(D, n), D) + 0.5 * key.normal(n, D)


def rectified(key: Key, n: int) -> Tensor:
    """As the last layer of a network gives them: half of all values are 0."""
    return key.normal(n, 64).relu()


def skewed(key: Key, n: int) -> Tensor:
    """Variances from 1 to 1/64, as of principal components that are not standardised."""
    return key.normal(n, 64) * torch.arange(1, 65) ** -0.5


def student(key: Key, n: int) -> Tensor:
    return key.normal(n, D) / ((key / "chi").normal(n, D, 3).square().mean(2)).sqrt()


LIGHT = [normal, uniform, clouds, rectified, skewed]
MOMENTS = [
    frechet.frechet_metric,
    frechet.frechet_infinity_metric,
    kernel.kid,
    sliced_wasserstein.sliced_wasserstein_metric,
]


def caveats(caveat: Callable, law: Callable[[Key, int], Tensor], n: int, m: int, runs: int = 20) -> int:
    keys = [Key.of("tails", law.__name__, run) for run in range(runs)]
    return sum(bool(caveat(featured(law(key / "fake", n), law(key / "real", m)))) for key in keys)


@pytest.mark.parametrize("law", LIGHT)
@pytest.mark.parametrize(("n", "m"), [(100, 100), (1000, 300)])
def test_ordinary_laws_keep_their_trust(law: Callable[[Key, int], Tensor], n: int, m: int):
    for measure in MOMENTS:
        assert caveats(measure.caveat, law, n, m) <= 2


@pytest.mark.parametrize("measure", MOMENTS)
def test_students_law_with_three_degrees_loses_it(measure):
    assert caveats(measure.caveat, student, 1000, 300) >= 19


@pytest.mark.parametrize("measure", [frechet.frechet_metric, sliced_wasserstein.sliced_wasserstein_metric])
def test_fifty_rows_of_students_law_lose_it(measure):
    assert caveats(measure.caveat, student, 50, 50, 40) >= 35


@pytest.mark.parametrize("law", LIGHT)
def test_the_fourth_moment_of_fifty_rows_takes_no_trust_from_ordinary_laws(law: Callable[[Key, int], Tensor]):
    def by_moment(inputs: MetricInputs) -> bool:
        return "4th moment" in caveat_heavy_tails(inputs)

    assert caveats(by_moment, law, 50, 50, 40) <= 1


def test_the_moment_ratio_is_one_for_gaussians_and_a_third_of_the_rows_for_one_outlier():
    x = Key.of("ratio").normal(4000, 5) * torch.tensor([9.0, 3.0, 1.0, 1.0, 0.1])
    assert moment_ratio(x) == pytest.approx(1, abs=0.1)
    signs = torch.cat([torch.ones(50, 1), -torch.ones(50, 1)])
    assert moment_ratio(signs) == pytest.approx(1 / 3)  # (sum of squares)^2 / 3 of it
    lone = torch.zeros(3000, 2)
    lone[0, 0] = 1
    assert moment_ratio(lone) == pytest.approx(1000, rel=0.01)
    assert moment_ratio(torch.ones(50, 3)) == 1


def test_one_heavy_set_of_the_two_is_enough_and_is_named():
    key = Key.of("two")
    caveat = caveat_heavy_tails(featured(student(key, 500), normal(key / "real", 500)))
    assert caveat.startswith("heavy tail") and "of the samples" in caveat
    assert "of the reference" in caveat_heavy_tails(featured(normal(key, 500), student(key / "real", 500)))


def test_bounded_kernels_and_shares_know_no_tail():
    assert kernel.mmd_gaussian.caveat is None
    for measure in (precision_recall.precision_metric, precision_recall.recall_metric):
        assert caveats(measure.caveat, student, 100, 100, 1) == 0


def test_one_feature_that_is_nearly_all_variance_takes_trust_from_distances():
    scale = torch.tensor([1000.0, *[1.0] * 7])
    fake, real = (scale * normal(Key.of("scale", name), 300) for name in ("fake", "real"))
    assert "one of 8 features has 100.0 % of the variance" in caveat_one_feature(featured(fake, real))
    assert caveat_one_feature(featured(fake / scale, real / scale)) == ""
    assert caveat_one_feature(featured(fake[:, :1], real[:, :1])) == ""


def test_rows_that_carry_the_error_are_counted():
    """k of n rows that stand out alike, half of them to either side: k."""
    added = torch.zeros(1000)
    added[:10], added[10:20] = 1.0, -1.0
    assert effective_rows(added) == pytest.approx(20)
    assert effective_rows(torch.ones(50)) == 50 and not is_heavy_tailed(torch.ones(50))
    assert is_heavy_tailed(torch.tensor([1.0] + [0.0] * 99))


def test_few_rows_are_said_to_be_few():
    key = Key.of("few")
    given = featured(normal(key, 300), normal(key / "real", 99))
    assert caveat_few_rows(given) == kernel.kid.caveat(given) == "few rows: 99 of 100"
    assert not caveat_few_rows(featured(normal(key, 100), normal(key / "real", 100)))
