"""Scores of posteriors: by hand, by brute force, by another library; a known wrong formula is shown wrong."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from metric_inputs import classified
from refusals import refused
from scipy.stats import entropy
from torch import Tensor
from torch.nn.functional import one_hot
from torch_fidelity.metric_isc import isc_features_to_metric

from gancore.data.dataset import Spec
from gancore.errors import ConfigError
from gancore.metrics import scores
from gancore.metrics.metric import MetricInputs, SampleSet
from gancore.random import Key

LOGITS = 3 * Key.of("logits").normal(60, 7).double()
P = LOGITS.softmax(1)


def nearly_sure(labels: Tensor, rest: float = 0.0103) -> Tensor:
    """Posteriors over ten classes: all but ``rest`` on the label."""
    hot = one_hot(labels, 10).double()
    return hot * (1 - rest) + (1 - hot) * rest / 9


EVEN = nearly_sure(torch.arange(1000) % 10)
HALF = nearly_sure(torch.arange(1000) % 5)
ONE = nearly_sure(torch.cat([torch.zeros(910, dtype=torch.int64), 1 + torch.arange(90) % 9]))


class TestInceptionScore:
    @pytest.mark.parametrize("classes", [1, 2, 10])
    def test_sure_and_even_posteriors_give_the_number_of_classes(self, classes):
        p = one_hot(torch.arange(40 * classes) % classes, classes).double()
        assert scores.inception_score.compute(classified(p)) == pytest.approx(classes, rel=1e-12)

    def test_posteriors_that_say_nothing_give_one(self):
        assert scores.inception_score.compute(classified(torch.full((50, 10), 0.1))) == pytest.approx(1)

    def test_it_is_that_of_torch_fidelity(self):
        expected = isc_features_to_metric(LOGITS, splits=1, shuffle=False)["inception_score_mean"]
        assert scores.inception_score.compute(classified(P)) == pytest.approx(expected, rel=1e-9)

    @pytest.mark.parametrize(
        ("p", "wrong", "right"), [(EVEN, 9.23, 9.23), (HALF, 2.2, 4.79), (ONE, 30.9, 1.59)]
    )
    def test_the_axis_error_of_a_known_code_is_not_made(self, p, wrong, right):
        """There KL runs over samples, for want of ``axis=1``: 30.9 where ten classes allow 10 at most."""
        marginal = np.tile(p.mean(0), (len(p), 1))
        assert np.exp(entropy(p, marginal).mean()) == pytest.approx(wrong, rel=5e-3)
        assert scores.inception_score.compute(classified(p)) == pytest.approx(right, rel=5e-3)

    def test_posteriors_of_exactly_zero_do_no_harm(self):
        p = one_hot(torch.arange(100) % 3, 5).double()
        low, high, _ = scores.inception_score.interval(classified(p))
        assert low <= scores.inception_score.compute(classified(p)) <= 3 <= high <= 5


class TestModifiedInceptionScore:
    def test_it_is_the_mean_over_all_pairs(self):
        p = (LOGITS / 3).softmax(1)  # so that none is below the clip
        assert p.min() > scores.MIN_PROBABILITY
        pairs = [float((p[i] * (p[i] / p[j]).log()).sum()) for i in range(60) for j in range(60) if i != j]
        assert scores.modified_inception_score.compute(classified(p)) == pytest.approx(
            math.exp(np.mean(pairs))
        )

    def test_sure_posteriors_are_bounded_by_the_clip(self):
        """Two classes: of the ordered pairs 2/3 differ for 4 rows, each by log 1e6."""
        p = one_hot(torch.arange(4) % 2, 2).double()
        expected = math.exp(2 / 3 * math.log(1 / scores.MIN_PROBABILITY))
        assert scores.modified_inception_score.compute(classified(p)) == pytest.approx(expected)


class TestAM:
    def test_sure_posteriors_with_the_shares_of_train_give_zero(self):
        p = one_hot(torch.arange(100) % 5, 5).double()
        assert scores.am_score_metric.compute(classified(p)) == pytest.approx(0, abs=1e-12)

    def test_by_hand(self):
        """Train 3 : 1, samples 1 : 1, all sure but for entropy log 2 of one in four."""
        train = torch.tensor([[1.0, 0], [1, 0], [1, 0], [0, 1]]).double()
        fake = torch.tensor([[1.0, 0], [0, 1], [0.5, 0.5], [0.5, 0.5]]).double()
        expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5) + math.log(2) / 2
        assert scores.am_score_metric.compute(classified(fake, train=train)) == pytest.approx(expected)

    def test_a_missing_class_costs_as_much_as_the_clip_says(self):
        train, fake = one_hot(torch.arange(10) % 2, 2).double(), torch.tensor([[1.0, 0]] * 10).double()
        expected = 0.5 * math.log(0.5) + 0.5 * math.log(0.5 / scores.MIN_PROBABILITY)
        assert scores.am_score_metric.compute(classified(fake, train=train)) == pytest.approx(expected)


class TestClasses:
    def test_covered_are_those_with_a_quarter_of_their_share(self):
        """Reference 40, 40, 20, 0 of 100: least shares 0.1, 0.1, 0.05; of class 3 nothing is asked."""
        real = one_hot(torch.tensor([0] * 40 + [1] * 40 + [2] * 20), 4).double()
        fake = one_hot(torch.tensor([0] * 70 + [1] * 9 + [2] * 5 + [3] * 16), 4).double()
        inputs = replace(classified(fake, real=real), classes=("a", "b", "c", "d"))
        details = scores.class_coverage.details(inputs)
        assert scores.class_coverage.compute(inputs) == 2
        assert details["missing"] == ["b"]
        assert details["shares"] == {"a": 0.7, "b": 0.09, "c": 0.05, "d": 0.16}
        assert details["classes of the reference"] == 3

    def test_mean_entropy_of_the_posteriors(self):
        expected = entropy(P, axis=1).mean()
        assert scores.posterior_entropy.compute(classified(P)) == pytest.approx(expected)
        assert scores.posterior_entropy.details(classified(P))["of reference rows"] == pytest.approx(expected)

    def test_label_accuracy_counts_those_that_are_what_was_asked(self):
        said, requested = torch.tensor([0, 1, 2, 2, 1, 0]), torch.tensor([0, 1, 2, 1, 1, 2])
        inputs = classified(nearly_sure(said), condition=requested)
        assert scores.label_accuracy.compute(inputs) == pytest.approx(4 / 6)
        by_class = scores.label_accuracy.details(inputs)["by class"]
        assert by_class == {"0": 1.0, "1": pytest.approx(2 / 3), "2": 0.5}

    @pytest.mark.parametrize(
        "condition", [None, torch.zeros(6, 3), {"text": torch.zeros(6, dtype=torch.int64)}]
    )
    def test_a_condition_that_is_no_label_is_refused_in_a_line(self, condition):
        inputs = classified(nearly_sure(torch.arange(6)), condition=condition)
        with refused(ConfigError, "label", fix="class"):
            scores.label_accuracy.compute(inputs)


def test_posteriors_that_are_missing_are_said_to_be():
    with refused(ConfigError, "posteriors", fix="features"):
        scores.inception_score.compute(MetricInputs.from_samples(P, P, Spec({})))


class TestLikelihood:
    ROWS = SampleSet(torch.zeros(3, 1))

    def test_it_is_the_mean_over_the_reference_in_nats(self):
        inputs = MetricInputs(
            self.ROWS, self.ROWS, self.ROWS, Spec({}), log_prob=torch.tensor([-1.0, -2, -6])
        )
        assert scores.nll.compute(inputs) == 3
        assert scores.nll.details(inputs) == {"likelihood": "exact"}
        bound = replace(inputs, log_prob_is_bound=True)
        assert scores.nll.details(bound)["likelihood"].endswith("a bound")
        assert scores.nll.interval(bound).low < 3 < scores.nll.interval(bound).high

    def test_a_model_that_gives_none_is_refused_in_a_line(self):
        with refused(ConfigError, "likelihood", fix="nll"):
            scores.nll.compute(MetricInputs(self.ROWS, self.ROWS, self.ROWS, Spec({})))
