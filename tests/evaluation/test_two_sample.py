"""Two-sample tests: the accuracies are the right ones, and equal laws are rejected as rarely as promised."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from metric_inputs import featured
from refusals import refused
from scipy.integrate import quad
from scipy.stats import fisher_exact, norm
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier

from gancore.errors import ConfigError
from gancore.metrics import peeling, two_sample
from gancore.metrics.metric import MetricInputs, SampleSet
from gancore.random import Key


def gaussians(n: int, d: int, shift: float = 0.0, seed: int = 0) -> MetricInputs:
    key = Key.of("gaussians", seed)
    fake = (key / "fake").normal(n, d)
    fake[:, 0] += shift
    return featured(fake, (key / "real").normal(n, d), (key / "train").normal(n, d), key=seed)


class TestNearestNeighbour:
    def test_it_is_that_of_scikit_learn(self):
        inputs = gaussians(150, 5, shift=1.0)
        x = torch.cat([inputs.fake.features, inputs.real.features]).numpy()
        labels = np.arange(300) < 150
        said = cross_val_predict(KNeighborsClassifier(1), x, labels, cv=LeaveOneOut())
        details = two_sample.c2st_neighbour.details(inputs)
        assert two_sample.c2st_neighbour.compute(inputs) == pytest.approx((said == labels).mean(), abs=1e-12)
        assert details["of samples"] == pytest.approx(said[:150].mean(), abs=1e-12)
        assert details["of real rows"] == pytest.approx((~said[150:]).mean(), abs=1e-12)

    def test_with_many_rows_it_is_the_limit_of_cover_and_hart(self):
        """E[eta^2 + (1 - eta)^2], eta the posterior of the label."""

        def integrand(x: float) -> float:
            p, q = norm.pdf(x, 1.5), norm.pdf(x)
            return (p * p + q * q) / (p + q) / 2

        limit = quad(integrand, -8, 10)[0]
        values = [two_sample.c2st_neighbour.compute(gaussians(1000, 1, 1.5, seed)) for seed in range(4)]
        assert np.mean(values) == pytest.approx(limit, abs=0.015)

    def test_copies_of_the_reference_are_never_called_samples(self):
        real = Key.of("real").normal(200, 4)
        inputs = featured(real.clone(), real)
        details = two_sample.c2st_neighbour.details(inputs)
        assert two_sample.c2st_neighbour.compute(inputs) == 0
        assert details["p value"] == 1 and details["p value, two-sided"] <= 0.002

    def test_copies_of_train_show_against_train_alone(self):
        key = Key.of("copies")
        train, real = (key / "train").normal(200, 4), (key / "real").normal(200, 4)
        details = two_sample.c2st_neighbour.details(featured(train + 1e-3 * key.normal(200, 4), real, train))
        assert details["against train"]["of samples"] < 0.05
        assert details["of samples"] == pytest.approx(0.5, abs=0.1)

    def test_a_collapse_shows_in_the_samples_alone(self):
        """All samples near one row: they find each other, and the real rows are as they were."""
        key = Key.of("collapse")
        fake = 0.01 * (key / "fake").normal(200, 4)
        details = two_sample.c2st_neighbour.details(featured(fake, (key / "real").normal(200, 4)))
        assert details["of samples"] == 1
        assert details["of real rows"] > 0.9

    def test_where_all_rows_are_one_no_label_comes_first(self):
        same = torch.zeros(300, 2)
        assert two_sample.c2st_neighbour.compute(featured(same, same)) == pytest.approx(0.5, abs=0.12)


class TestTrained:
    def test_it_comes_near_the_best_that_anyone_can_do(self):
        """Two normal laws 2 apart: accuracy Phi(1), area Phi(sqrt 2)."""
        inputs = gaussians(2000, 6, shift=2.0)
        assert two_sample.c2st_trained.compute(inputs) == pytest.approx(norm.cdf(1), abs=0.03)
        area = two_sample.c2st_trained.details(inputs)["area under ROC"]
        assert area == pytest.approx(norm.cdf(math.sqrt(2)), abs=0.03)

    def test_it_sees_spread_that_no_straight_line_does(self):
        inputs = gaussians(1000, 6)
        assert (
            two_sample.c2st_trained.compute(featured(1.5 * inputs.fake.features, inputs.real.features)) > 0.65
        )

    def test_it_sees_that_coordinates_belong_together(self):
        key = Key.of("pairs")
        angle = 2 * math.pi * key.uniform(2000)
        real = torch.stack([angle.cos(), angle.sin()], 1)
        loose = torch.stack([real[(key / axis).permutation(2000), axis] for axis in (0, 1)], 1)
        assert two_sample.c2st_trained.compute(featured(loose, real)) > 0.7

    def test_copies_of_train_are_hard_to_tell_from_train(self):
        key = Key.of("copies")
        train, real = (key / "train").normal(300, 200), (key / "real").normal(300, 200)
        verdict = two_sample.c2st_trained.details(featured(train, real, train))
        assert (
            verdict["against train"]["accuracy"]
            < 0.4
            < two_sample.c2st_trained.compute(featured(train, real))
        )

    def test_it_is_trained_the_same_again_and_leaves_the_global_generator_alone(self):
        inputs = gaussians(100, 3)
        before = torch.random.get_rng_state()
        first = two_sample.c2st_trained.compute(inputs)
        torch.manual_seed(5)
        assert two_sample.c2st_trained.compute(inputs) == first
        torch.random.set_rng_state(before)
        two_sample.c2st_trained.compute(inputs)
        assert torch.equal(torch.random.get_rng_state(), before)

    def test_every_row_is_seen_equally_often(self):
        counts = two_sample.batches(50, Key.of("batches")).flatten().bincount()
        assert two_sample.batches(50, Key.of("batches")).shape == (two_sample.STEPS, 50)
        assert counts.tolist() == [two_sample.STEPS] * 50


class TestRanks:
    def test_areas_are_those_of_scikit_learn_ties_included(self):
        key = Key.of("ranks")
        fake, real = (key / "fake").integers(9, 80).double() + 1, (key / "real").integers(9, 50).double()
        labels = np.r_[np.ones(80), np.zeros(50)]
        expected = roc_auc_score(labels, torch.cat([fake, real]).numpy())
        assert two_sample.auc(fake, real) == pytest.approx(expected, abs=1e-12)

    @pytest.mark.parametrize(("right", "wrong"), [(30, 20), (25, 25), (10, 30), (50, 0)])
    def test_calls_are_judged_by_the_exact_test_of_fisher(self, right, wrong):
        table = [[right, wrong], [50 - right, 50 - wrong]]
        expected = fisher_exact(table, alternative="greater").pvalue
        assert two_sample.accuracy_p_value(right, wrong, 50) == pytest.approx(expected, rel=1e-9)


def p_values(seed: int) -> dict[str, float]:
    """Of every test, on equal laws."""
    inputs = replace(gaussians(100, 3, seed=seed), train=SampleSet(torch.zeros(0)))
    trained = two_sample.c2st_trained.details(inputs)
    nearest = two_sample.c2st_neighbour.details(inputs)
    return {
        "nearest neighbour": nearest["p value"],
        "nearest neighbour, two-sided": nearest["p value, two-sided"],
        "accuracy": trained["p value of accuracy"],
        "area": trained["p value of area"],
        "peeling": 1.0 if not peeling.peel(inputs) else 0.0,
    }


def assert_level(runs: int) -> None:
    """At 5 % no more than 5 % + 3 standard deviations of the runs are rejected."""
    found = [p_values(seed) for seed in range(runs)]
    rejected = {name: np.mean([values[name] <= 0.05 for values in found]) for name in found[0]}
    limit = 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)
    assert {name: share for name, share in rejected.items() if share > limit} == {}


def test_equal_laws_are_rarely_rejected():
    assert_level(20)


@pytest.mark.long
def test_equal_laws_are_rejected_as_rarely_as_promised():
    assert_level(200)


def test_what_is_missing_is_said_in_a_line():
    few, bare = Key.of("few").normal(10, 2), SampleSet(torch.zeros(50, 2))
    with refused(ConfigError, 10):
        two_sample.c2st_trained.compute(featured(few, few))
    with refused(ConfigError, "features"):
        two_sample.balanced_pair(bare, bare, Key.of("bare"))


@pytest.mark.parametrize(("fake", "real"), [(1200, 1100), (40, 60), (60, 40)])
@pytest.mark.parametrize("measure", [two_sample.c2st_neighbour, two_sample.c2st_trained, peeling.peeling])
def test_a_reading_tells_as_many_rows_as_the_test_sees(measure, fake, real):
    key, seen = Key.of("seen"), []
    inputs = featured((key / "fake").normal(fake, 2), (key / "real").normal(real, 2))
    pair = two_sample.balanced_pair

    def noting(*arguments):
        made = pair(*arguments)
        seen.append((len(made.fake), len(made.real)))
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(two_sample, "balanced_pair", noting)
        patch.setattr(peeling, "balanced_pair", noting)
        measure.compute(inputs)
    assert seen[0] == measure.rows_used(fake, real)


def test_adam_has_the_bits_of_torch():
    key = Key.of("adam")
    expected = (key / "weight").normal(40, 7).requires_grad_()
    weight, optimizer = expected.detach().clone(), torch.optim.Adam([expected], lr=two_sample.RATE)
    mean, square = torch.zeros_like(weight), torch.zeros_like(weight)
    for step in range(1, 30):
        expected.grad = (key / "gradient" / step).normal(40, 7) * 10.0 ** (step % 5 - 3)
        optimizer.step()
        two_sample.step_adam(weight, expected.grad, mean, square, step)
        assert torch.equal(weight, expected.detach())
