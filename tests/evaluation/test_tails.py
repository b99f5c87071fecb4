"""A heavy tail takes trust away, and ordinary laws keep it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from evidences import featured
from torch import Tensor

from gancore.evaluation.measures import frechet, kernel, neighbours, sliced
from gancore.evaluation.tails import carrying, doubt_of_few, doubt_of_scale, doubt_of_squares, heavy
from gancore.runtime.randomness import Key

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
MOMENTS = [frechet.distance, frechet.infinity, kernel.kid, sliced.sliced]


def doubts(doubt: Callable, law: Callable[[Key, int], Tensor], n: int, m: int, runs: int = 20) -> int:
    keys = [Key.of("tails", law.__name__, run) for run in range(runs)]
    return sum(bool(doubt(featured(law(key / "fake", n), law(key / "real", m)))) for key in keys)


@pytest.mark.parametrize("law", LIGHT)
@pytest.mark.parametrize(("n", "m"), [(100, 100), (1000, 300)])
def test_ordinary_laws_keep_their_trust(law: Callable[[Key, int], Tensor], n: int, m: int):
    for measure in MOMENTS:
        assert doubts(measure.doubt, law, n, m) <= 2


@pytest.mark.parametrize("measure", MOMENTS)
def test_students_law_with_three_degrees_loses_it(measure):
    assert doubts(measure.doubt, student, 1000, 300) >= 19


def test_one_heavy_set_of_the_two_is_enough_and_is_named():
    key = Key.of("two")
    told = doubt_of_squares(featured(student(key, 500), normal(key / "real", 500)))
    assert told.startswith("heavy tail") and "of the samples" in told
    assert "of the reference" in doubt_of_squares(featured(normal(key, 500), student(key / "real", 500)))


def test_bounded_kernels_and_shares_know_no_tail():
    assert kernel.mmd_gaussian.doubt is None
    for measure in (neighbours.precision_measure, neighbours.recall_measure):
        assert doubts(measure.doubt, student, 100, 100, 1) == 0


def test_one_feature_that_is_nearly_all_variance_takes_trust_from_distances():
    scale = torch.tensor([1000.0, *[1.0] * 7])
    fake, real = (scale * normal(Key.of("scale", name), 300) for name in ("fake", "real"))
    assert "one of 8 features has 100.0 % of the variance" in doubt_of_scale(featured(fake, real))
    assert doubt_of_scale(featured(fake / scale, real / scale)) == ""
    assert doubt_of_scale(featured(fake[:, :1], real[:, :1])) == ""


def test_rows_that_carry_the_error_are_counted():
    """k of n rows that stand out alike, half of them to either side: k."""
    added = torch.zeros(1000)
    added[:10], added[10:20] = 1.0, -1.0
    assert carrying(added) == pytest.approx(20)
    assert carrying(torch.ones(50)) == 50 and not heavy(torch.ones(50))
    assert heavy(torch.tensor([1.0] + [0.0] * 99))


def test_few_rows_are_said_to_be_few():
    key = Key.of("few")
    given = featured(normal(key, 300), normal(key / "real", 99))
    assert doubt_of_few(given) == kernel.kid.doubt(given) == "few rows: 99 of 100"
    assert not doubt_of_few(featured(normal(key, 100), normal(key / "real", 100)))
