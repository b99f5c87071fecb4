"""Memory of train: copies and unseen data are told apart, and a known share of copies is recovered."""

from __future__ import annotations

import pytest
import torch
from metric_inputs import featured, holds
from refusals import refused
from torch import Tensor

from gancore.errors import DataError
from gancore.metrics import memorization
from gancore.metrics.metric import MetricInputs
from gancore.random import Key

KEY = Key.of("memory")
TRAIN, REAL = (KEY / "train").normal(1000, 6), (KEY / "real").normal(1000, 6)


def against_train(fake: Tensor) -> MetricInputs:
    return featured(fake, REAL, TRAIN)


def authentic_by_hand(fake: Tensor, train: Tensor) -> list[bool]:
    to_train, within = torch.cdist(fake.double(), train.double()), torch.cdist(train.double(), train.double())
    within.fill_diagonal_(torch.inf)
    nearest = to_train.argmin(1)
    return [bool(to_train[row, star] > within[star].min()) for row, star in enumerate(nearest.tolist())]


def test_authenticity_is_that_of_the_definition():
    fake = (KEY / "fake").normal(200, 6)
    found = memorization.authentic(
        memorization.nearest_train_rows(against_train(fake).fake, against_train(fake)), TRAIN
    )
    assert found.tolist() == authentic_by_hand(fake, TRAIN)


def test_authenticity_on_a_line_by_hand():
    """Train at 0, 1 and 3: the nearest others of these are 1, 1 and 2 away."""
    train = torch.tensor([[0.0], [1.0], [3.0]])
    fake = torch.tensor([[-1.5], [-0.5], [1.9], [4.9], [5.1], [3.0]])
    inputs = featured(fake, fake, train)
    authentic = memorization.authentic(memorization.nearest_train_rows(inputs.fake, inputs), train)
    assert authentic.tolist() == [True, False, False, False, True, False]


def test_copies_of_train_are_not_authentic_and_are_at_no_distance():
    inputs = against_train(TRAIN[:300].clone())
    assert memorization.authenticity.compute(inputs) == 0
    assert memorization.nearest_train.compute(inputs) == 0
    assert memorization.nearest_train.details(inputs)["equal to a train row"] == 1
    assert memorization.authenticity.caveat(inputs) == ""


def test_unseen_data_are_as_authentic_and_as_far_as_the_reference():
    inputs = against_train((KEY / "unseen").normal(1000, 6))
    of_reference = memorization.authenticity.details(inputs)["of reference rows"]
    assert memorization.authenticity.compute(inputs) == pytest.approx(of_reference, abs=0.06)
    assert holds(1.0, memorization.nearest_train.interval(inputs))
    nearer = memorization.nearest_train.details(inputs)["nearer than reference rows"]
    assert nearer == pytest.approx(0.5, abs=0.05)


def test_shrunken_samples_are_not_authentic_which_is_said_to_be_no_copying():
    inputs = against_train(0.4 * (KEY / "shrunken").normal(1000, 6))
    assert (
        memorization.authenticity.interval(inputs).high
        < memorization.authenticity.details(inputs)["of reference rows"]
    )
    assert "shrunken" in memorization.authenticity.caveat(inputs)


def test_samples_elsewhere_are_far():
    inputs = against_train(REAL + 10)
    assert memorization.nearest_train.compute(inputs) > 5
    assert memorization.authenticity.compute(inputs) > 0.99


def test_a_row_that_train_holds_twice_is_a_copy_still():
    train = torch.cat([TRAIN[:50], TRAIN[:50]])
    inputs = featured(TRAIN[:50], REAL, train)
    assert memorization.authenticity.compute(inputs) == 0


def test_a_reference_that_stands_in_train_is_refused_in_a_line():
    with refused(DataError, "train"):
        memorization.nearest_train.compute(featured(REAL, TRAIN[:100], TRAIN))
