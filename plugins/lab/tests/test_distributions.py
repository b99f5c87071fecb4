"""The laws are what their names say, so that what is asked of a measure is true."""

from __future__ import annotations

import pytest
import torch
from gancore_lab import distributions
from gancore_lab.cases import CASES, CaseData
from gancore_lab.distributions import MODES
from gancore_lab.metric_checks import CaseSets, ExactPosteriors, nearest_mode
from scipy.stats import multivariate_normal

from gancore.data.dataset import Spec
from gancore.random import Key

KEY = Key.of("laws")
MANY = 20_000


@pytest.mark.parametrize("d", [2, 16, 64])
def test_one_mode_and_two_have_equal_moments_and_hardly_overlap_in_the_middle(d):
    one, two = distributions.one_mode(KEY, MANY, d), distributions.two_modes(KEY / 1, MANY, d)
    assert one.mean(0) == pytest.approx(two.mean(0), abs=0.15)
    assert one.T.cov().flatten() == pytest.approx(two.T.cov().flatten(), abs=0.35)
    along = torch.full((d,), d**-0.5)
    shares = [float(((rows @ along).abs() < 2).double().mean()) for rows in (one, two)]
    assert shares == pytest.approx([0.372, 0.0228], abs=0.01)  # P(|N(0, 17)| < 2), P(|N(4, 1)| < 2)


@pytest.mark.parametrize("d", [2, 3, 64])
def test_a_ball_and_a_torus_share_no_point(d):
    flat = min(d, 3)
    ball, torus = (
        distribution(KEY, MANY, d)[:, :flat] for distribution in (distributions.ball, distributions.torus)
    )
    assert float(ball.norm(dim=1).max()) <= 0.8 + 1e-5
    round_ = torus[:, :2].norm(dim=1) - 1
    off = round_.abs() if flat == 2 else torch.stack([round_, torus[:, 2]], 1).norm(dim=1)
    assert float(off.max()) <= 0.1 + 1e-5 < 0.2


@pytest.mark.parametrize("d", [2, 16])
def test_a_fifth_of_the_cubes_is_shared(d):
    case = CASES["cubes, a fifth shared"]
    fake = case.fake(CaseData(case.distribution, KEY, MANY, d))
    assert float((fake < 1).all(1).double().mean()) == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize("d", [2, 16, 64])
def test_modes_stand_apart_and_are_drawn_by_their_shares(d):
    apart = torch.pdist(distributions.centres(d))
    assert float(apart.min()) >= distributions.APART - 1e-3
    drawn = nearest_mode(
        CASES["90 % on one mode"].fake(CaseData(distributions.gaussian, KEY, MANY, d))
    ).bincount(minlength=MODES)
    assert (drawn / MANY).tolist() == pytest.approx([0.9, *[0.1 / 9] * 9], abs=0.01)
    dropped = nearest_mode(
        CASES["3 of 10 modes dropped"].fake(CaseData(distributions.gaussian, KEY, MANY, d))
    )
    assert set(dropped.tolist()) == set(range(7))
    moved = distributions.moved_modes(3, 8.0)(KEY, 2000, d)
    of = nearest_mode(moved)
    for mode, centre in enumerate(distributions.centres(d)):
        outward = 1 + 8 / float(centre.norm()) if mode < 3 else 1.0
        assert moved[of == mode].mean(0) == pytest.approx(outward * centre, abs=0.35)


@pytest.mark.parametrize("d", [2, 16])
def test_posteriors_are_those_of_ten_equal_gaussians(d):
    rows = distributions.mixture([1.0] * MODES)(KEY, 50, d)
    densities = torch.stack(
        [torch.tensor(multivariate_normal(c.numpy()).logpdf(rows.numpy())) for c in distributions.centres(d)],
        1,
    )
    found = ExactPosteriors().log_posteriors(rows, Spec({})).double()
    assert found == pytest.approx(densities.log_softmax(1), abs=1e-3)


def test_tails_and_ties():
    assert distributions.sphere(1.5)(KEY, 50, 16).norm(dim=1) == pytest.approx(torch.full((50,), 1.5))
    tied = distributions.correlated(KEY, MANY, 4).T.cov()
    assert tied[0].tolist() == pytest.approx([1, 0.9, 0.81, 0.729], abs=0.04)
    tail = distributions.pareto(KEY, MANY, 3)[:, 1]
    assert float((tail > 10).double().mean()) == pytest.approx(10**-1.01, abs=0.01) and float(tail.min()) >= 1
    beyond = float((distributions.heavy(KEY, MANY, 2)[:, 0].abs() > 3.182).double().mean())
    assert beyond == pytest.approx(0.05, abs=0.006)  # the quantile of t with 3 degrees of freedom


@pytest.mark.parametrize("name", CASES)
def test_every_case_has_rows_of_its_own(name):
    case = CASES[name]
    case_data = CaseData(case.distribution, KEY, 40, 16)
    sets = CaseSets.of(case, case_data)
    assert sets.fake.shape == (40, 16) and sets.fake.isfinite().all()
    assert len(sets.real) == round(40 * case.reference_share) and len(sets.held_out) == round(
        40 * case.held_out_share
    )
    assert (
        float(torch.cdist(sets.real, sets.held_out).min()) > 0
        and float(torch.cdist(sets.real, sets.train).min()) > 0
    )
    assert not (case.worse & (case.same | case.not_worse))
    copied = float((torch.cdist(sets.fake, sets.train).min(1).values < 0.1).double().mean())
    assert copied == {"a tenth copied": 0.1, "copies of train": 1, "near copies of train": 1}.get(name, 0)
