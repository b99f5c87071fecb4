"""Critic peeling finds what was planted, in order of size, and nothing where there is nothing."""

from __future__ import annotations

import math

import pytest
import torch
from metric_inputs import featured
from scipy.stats import norm
from torch import Tensor

from gancore.metrics import peeling, two_sample
from gancore.metrics.metric import MetricInputs
from gancore.random import Key

SHIFT, WIDE, NARROW = 1.5, 3.0, 0.5
AREAS = (
    norm.cdf(SHIFT / math.sqrt(2)),  # 0.856
    2 / math.pi * math.atan(WIDE),  # 0.795: P(|3 z| > |z'|)
    2 / math.pi * math.atan(1 / NARROW),  # 0.705
)
"""What the best critic of each planted defect reaches, largest first."""


def planted(d: int, n: int = 2000, seed: int = 0, turn: Tensor | None = None) -> MetricInputs:
    """Samples with a mean 1.5 off along axis 0, three times too wide along 1, half as wide along 2."""
    key = Key.of("planted", seed, d)
    fake, real = (key / "fake").normal(n, d), (key / "real").normal(n, d)
    fake[:, 0] += SHIFT
    fake[:, 1] *= WIDE
    fake[:, 2] *= NARROW
    return (
        featured(fake, real, key=seed) if turn is None else featured(fake @ turn.T, real @ turn.T, key=seed)
    )


@pytest.mark.parametrize("seed", range(3))
def test_three_planted_directions_are_found_in_order_of_size(seed):
    found = peeling.peel(planted(8, seed=seed))
    assert [int(defect.critic.direction.abs().argmax()) for defect in found[:3]] == [0, 1, 2]
    for axis, (defect, area) in enumerate(zip(found, AREAS, strict=False)):
        assert abs(defect.critic.direction[axis]) > 0.98
        assert defect.auc == pytest.approx(area, abs=0.04)
    assert all(defect.auc < 0.56 for defect in found[3:])  # what an imprecise direction left behind


def test_the_first_is_a_shift_and_the_others_are_spreads():
    shift, wide, narrow = peeling.peel(planted(8))[:3]
    assert (abs(shift.shift), shift.spread) == pytest.approx((SHIFT, 1), abs=0.15)
    assert (abs(wide.shift), wide.spread) == pytest.approx((0, WIDE), abs=0.3)
    assert (abs(narrow.shift), narrow.spread) == pytest.approx((0, NARROW), abs=0.15)


def test_they_are_found_whatever_the_axes():
    turn = torch.linalg.qr(Key.of("turn").normal(12, 12)).Q
    for axis, defect in enumerate(peeling.peel(planted(12, turn=turn))[:3]):
        towards = (defect.critic.direction / defect.critic.scale).float()  # on features as they are
        assert abs(torch.nn.functional.cosine_similarity(towards, turn[:, axis], dim=0)) > 0.97


def test_among_many_features_the_strong_ones_are_found():
    found = peeling.peel(planted(600))
    assert {int(defect.critic.direction.abs().argmax()) for defect in found[:2]} == {0, 1}


def test_directions_are_found_where_features_differ_in_scale_by_orders():
    inputs = planted(6)
    scales = torch.tensor([1e-4, 1e3, 1.0, 10.0, 1e-2, 1e4])
    found = peeling.peel(featured(inputs.fake.features * scales, inputs.real.features * scales))
    assert [int(defect.critic.direction.abs().argmax()) for defect in found[:3]] == [0, 1, 2]


def test_the_samples_that_show_a_defect_most_are_those_that_have_it():
    key = Key.of("some")
    fake, real = (key / "fake").normal(1000, 8), (key / "real").normal(800, 8)
    broken = (key / "which").permutation(1000)[:150]
    fake[broken, 3] += 6
    (first, *_) = peeling.peel(featured(fake, real))
    assert int(first.critic.direction.abs().argmax()) == 3
    assert len(first.fake_rows) == peeling.SHOWN_ROWS and set(first.fake_rows) <= set(broken.tolist())
    scores = first.critic(real)
    assert scores[first.real_rows].max() <= scores.quantile(0.02)


def test_critics_are_uncorrelated_on_the_rows_that_they_saw():
    inputs = planted(8)
    seen, _ = two_sample.split_in_half(two_sample.balanced_pair(inputs.fake, inputs.real, inputs.key))
    critics = peeling.train_critics(seen)
    u = torch.stack([critic.along(torch.cat([seen.fake, seen.real])) for critic in critics])
    assert len(critics) == peeling.MAX_DIRECTIONS
    assert (torch.corrcoef(u) - torch.eye(len(critics))).abs().max() < 1e-6


def test_a_critic_that_fits_noise_alone_is_not_chosen():
    """In 128 dimensions Fisher's discriminant parts any 200 rows that it saw; the wide axis is there."""
    key = Key.of("noise")
    fake, real = (key / "fake").normal(400, 128), (key / "real").normal(400, 128)
    fake[:, 0] *= 6
    (first, *_) = peeling.peel(featured(fake, real))
    assert abs(first.critic.direction[0]) > 0.8


def test_shape_alone_is_not_seen():
    """A stated limit: signs have the mean and the spread of a normal variable."""
    key = Key.of("shape")
    fake = (key / "fake").normal(1000, 3)
    fake[:, 0] = fake[:, 0].sign()
    inputs = featured(fake, (key / "real").normal(1000, 3))
    assert peeling.peel(inputs) == []
    assert two_sample.c2st_trained.compute(inputs) > 0.7


def test_there_are_no_more_directions_than_features():
    key = Key.of("flat")
    fake, real = (key / "fake").normal(200, 2), (key / "real").normal(200, 2)
    inputs = featured(*(torch.cat([x, torch.ones(200, 1), x[:, :1]], 1) for x in (fake + 3, real)))
    seen, _ = two_sample.split_in_half(two_sample.balanced_pair(inputs.fake, inputs.real, key))
    assert len(peeling.train_critics(seen)) == 2


def test_the_value_is_the_sum_over_all_directions():
    inputs = planted(8)
    expected = sum(2 * area - 1 for area in AREAS)
    assert peeling.peeling.compute(inputs) == pytest.approx(expected, abs=0.15)
    details = peeling.peeling.details(inputs)
    assert details["significant directions"] == len(details["defects"]) >= 3


def test_leading_components_are_those_of_the_decomposition():
    """Of a spectrum that falls: the spaces agree, whatever the random start."""
    key = Key.of("spectrum")
    z = key.normal(300, 200).double() * torch.arange(1, 201).double() ** -1
    V = peeling.leading_components(z, 5, (key / "start").normal(200, 21))
    exact = torch.linalg.svd(z, full_matrices=False).Vh[:5].T
    assert torch.linalg.svdvals(exact.T @ V).min() > 0.9999
