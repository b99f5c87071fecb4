"""Shares of classes by a classifier that is often wrong: what it confuses is accounted for."""

from __future__ import annotations

import pytest
import torch
from refusals import refused
from torch import Tensor

from gancore.data.dataset import Spec
from gancore.errors import ConfigError
from gancore.metrics.metric import MetricInputs, SampleSet
from gancore.metrics.scores import class_coverage, estimate_class_shares, scarcest_class
from gancore.random import Key

PRIOR = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64)
SPREAD = 1.3
"""Deviation of a class about its mean, where the next is 1.5 apart: Bayes' rule is often wrong."""


def rows(n: int, shares: Tensor, seed: int) -> Tensor:
    """Exact log posteriors at the shares PRIOR, of rows drawn at others: Gaussians in a row, (n, 4)."""
    key = Key.of("rows", seed)
    which = torch.multinomial(shares, n, replacement=True, generator=(key / "class").generator())
    x = 1.5 * which + SPREAD * (key / "noise").normal(n).double()
    logs = -((x[:, None] - 1.5 * torch.arange(4)) ** 2) / (2 * SPREAD**2) + PRIOR.log()
    return logs.log_softmax(1)


def inputs(fake: Tensor, real: Tensor) -> MetricInputs:
    shown = [SampleSet(x, log_posteriors=x) for x in (fake, real)]
    spec = Spec({"class_shares": PRIOR.tolist()})
    return MetricInputs(shown[0], shown[1], shown[1], spec, classes=["a", "b", "c", "d"])


@pytest.mark.parametrize("shares", [[0.25, 0.25, 0.25, 0.25], [0.1, 0.2, 0.3, 0.4], [0.5, 0.0, 0.5, 0.0]])
def test_shares_are_those_that_rows_were_drawn_at(shares):
    """Counts of the likeliest class are far off."""
    truth = torch.tensor(shares, dtype=torch.float64)
    logs = rows(40_000, truth, 0)
    assert (estimate_class_shares(logs.exp(), PRIOR) - truth).abs().max() < 0.03
    assert (logs.argmax(1).bincount(minlength=4) / len(logs) - truth).abs().max() > 0.05


def test_a_class_that_is_gone_is_seen_though_others_are_called_by_its_name():
    """c gets a good part of its calls from b and d, so that no count says that it is gone."""
    left = torch.tensor([0.5, 0.375, 0.0, 0.125], dtype=torch.float64)
    real = rows(2000, PRIOR, 1)
    shown, clean = (inputs(rows(2000, shares, seed), real) for shares, seed in ((left, 2), (PRIOR, 3)))
    assert class_coverage.compute(shown) == class_coverage.compute(clean)
    found, other = scarcest_class.interval(shown), scarcest_class.interval(clean)
    assert scarcest_class.compute(shown) < 0.25 and found.high < other.low
    assert scarcest_class.details(shown)["scarcest"] == "c"


def test_equal_rows_lack_nothing_and_shares_are_the_references():
    same = rows(500, PRIOR, 4)
    assert scarcest_class.compute(inputs(same, same)) == pytest.approx(1)


def test_a_class_too_rare_for_the_rows_is_not_looked_at():
    real, fake = rows(60, PRIOR, 5), rows(60, PRIOR, 6)
    assert scarcest_class.details(inputs(fake, real))["classes looked at"] == 3
    with refused(ConfigError, 15, 4, fix="samples"):
        scarcest_class.compute(inputs(rows(15, PRIOR, 7), real))
