"""Copies: a known share is found, whatever part of train was looked at; and nothing else is called a copy."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from metric_inputs import featured, holds
from refusals import refused
from torch import Tensor

from gancore.errors import ConfigError, DataError
from gancore.metrics.memorization import copies
from gancore.metrics.metric import MetricInputs
from gancore.random import Key

KEY = Key.of("copies")
TRAIN, REAL = (KEY / "train").normal(6000, 8), (KEY / "real").normal(1000, 8)


def fresh(name: str, n: int = 1000, d: int = 8) -> Tensor:
    return (KEY / name).normal(n, d)


def with_copies(share: float, n: int = 1000) -> Tensor:
    fake, count = fresh("fake", n), round(share * n)
    fake[:count] = TRAIN[(KEY / "source").permutation(len(TRAIN))[:count]]
    return fake


def requested(fake: Tensor, rows: int) -> MetricInputs:
    """Of train so many rows, at random."""
    seen = TRAIN[(KEY / "looked").permutation(len(TRAIN))[:rows]]
    return replace(featured(fake, REAL, seen), train_size=len(TRAIN))


@pytest.mark.parametrize("rows", [6000, 1200])
@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_a_share_is_found_whatever_part_of_train_was_looked_at(share, rows):
    inputs = requested(with_copies(share), rows)
    low, high, method = copies.interval(inputs)
    assert low <= share <= high and high - low < 0.3
    assert copies.compute(inputs) == pytest.approx(share, abs=0.1)
    if share * rows / len(TRAIN) > 0.05:  # of 1,000 samples that many are seen to be copies
        assert copies.details(inputs)["p value"] < 1e-6
    assert copies.details(inputs)["share of train looked at"] == rows / 6000
    assert f"{rows:,} of 6,000 rows" in method
    assert copies.caveat(inputs) == ""


@pytest.mark.parametrize("rows", [6000, 1200])
def test_samples_of_the_law_are_none(rows):
    inputs = requested(fresh("others"), rows)
    assert copies.interval(inputs).low == 0 and copies.compute(inputs) < 0.05
    assert copies.details(inputs)["p value"] > 0.01


def test_that_none_is_near_is_not_certain_that_none_is_a_copy():
    """Samples far away: of 300 none, so up to 1.2 % may be (Clopper and Pearson)."""
    inputs = featured(50 + fresh("far", 300), REAL, TRAIN)
    low, high, _ = copies.interval(inputs)
    assert copies.compute(inputs) == low == 0 and high == pytest.approx(1 - 0.025 ** (1 / 300))


@pytest.mark.parametrize("d", [8, 64])
@pytest.mark.parametrize("scale", [0.25, 0.5, 0.75])
def test_shrunken_samples_are_none(d, scale):
    train, real = fresh("train", 2000, d), fresh("real", 1000, d)
    inputs = featured(scale * fresh("shrunken", 1000, d), real, train)
    assert copies.interval(inputs).low == 0 and copies.compute(inputs) < 0.03


def test_many_copies_of_a_few_rows_are_found_and_the_share_is_uncertain_where_few_rows_were_looked_at():
    """Five rows of which each is looked at by chance: the interval says so."""
    fake = TRAIN[:5].repeat(200, 1)
    whole = requested(fake, 6000)
    assert copies.compute(whole) == 1 and copies.interval(whole).low > 0.99
    assert holds(1.0, copies.interval(requested(fake, 1200)))


def test_where_reference_rows_stand_in_train_they_are_told_of_and_allowed_for():
    real = torch.cat([REAL[:700], TRAIN[:300]])
    inputs = featured(with_copies(0.65), real, TRAIN)
    assert "300 of 1,000 reference rows" in copies.caveat(inputs)
    assert copies.details(inputs)["reference rows that stand in train"] == 300
    assert copies.compute(inputs) == pytest.approx((0.65 - 0.3) / 0.7, abs=0.01)


def test_what_cannot_be_compared_is_refused_in_a_line():
    with refused(DataError, "train"):
        copies.compute(featured(REAL, TRAIN[:100], TRAIN))
    with refused(ConfigError, "3"):
        copies.compute(featured(REAL, REAL, TRAIN[:2]))


def test_the_order_of_rows_and_the_key_change_nothing():
    fake, order = with_copies(0.2), (KEY / "order").permutation(1000)
    one, other = featured(fake, REAL, TRAIN), featured(fake[order], REAL[order], TRAIN.flip(0), key=7)
    assert copies.compute(one) == copies.compute(other)
    assert copies.interval(one) == copies.interval(other)
