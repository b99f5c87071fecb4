"""The kit knows recipes that judge: what their posteriors must be, and what is not asked of them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from refusals import refused
from torch import nn

from gancore.data.dataset import Spec, TensorView
from gancore.domain import Domain
from gancore.games import Classifier, classifier_game
from gancore.testing.check import CheckFailure, SkipCheck
from gancore.testing.fixtures import RecipeFixture
from gancore.testing.metric_checks import ranks_real_first
from gancore.testing.network_checks import matches_shapes
from gancore.testing.sampling_checks import gives_posteriors, samples_depend_on_key_only


class Linear(Classifier):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def embed(self, data):
        return data

    def classify(self, embedded):
        return self.layer(embedded)


def bench(model: type[Classifier] = Linear) -> SimpleNamespace:
    """What these checks look at of a bench: the game, and rows with labels."""
    torch.manual_seed(0)
    game = classifier_game(model)
    rows = TensorView(torch.randn(8, 3), torch.arange(8) % 2)
    home = SimpleNamespace(
        view=lambda split: rows, data=SimpleNamespace(spec=Spec({"classes": ["a", "b"]})), domain=Domain()
    )
    made = SimpleNamespace(game=game, domain_fixture=home, sampler=lambda: game.sampler().eval())
    made.generating_sampler = lambda: RecipeFixture.generating_sampler(made)
    return made


def test_a_judge_that_is_not_broken_passes_and_is_asked_for_no_samples():
    gives_posteriors(bench())
    for check in (samples_depend_on_key_only, matches_shapes):
        with refused(SkipCheck, "classifier"):
            check(bench())


class Leaking(Linear):
    def classify(self, embedded):
        return self.layer(embedded - embedded.mean(0))


class Short(Linear):
    def classify(self, embedded):
        return self.layer(embedded)[:, :1]


class Infinite(Linear):
    def classify(self, embedded):
        return self.layer(embedded) / torch.zeros(1)


class Deep(Linear):
    def embed(self, data):
        return data[:, None]

    def classify(self, embedded):
        return self.layer(embedded[:, 0])


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (Leaking, "posteriors|rows"),
        (Short, "(6, 1)"),
        (Infinite, "posteriors|finite"),
        (Deep, "(6, 1, 3)"),
    ],
)
def test_a_broken_judge_is_caught(model, words):
    with refused(CheckFailure, *words.split("|")):
        gives_posteriors(bench(model))


def test_posteriors_that_do_not_sum_to_one_are_caught():
    broken = bench()
    judge = broken.sampler()
    judge.log_posteriors = lambda data: judge.model(data)
    broken.sampler = lambda: judge
    with refused(CheckFailure, "posteriors", fix="log_softmax"):
        gives_posteriors(broken)


@pytest.mark.parametrize(
    ("higher_is_better", "blind", "values", "holds"),
    [
        (False, (), (1.0, 2.0, 0.5), True),  # noise is told, whatever one sample repeated gives
        (False, (), (1.0, 1.0, 2.0), True),
        (False, (), (1.0, 1.0, 1.0), False),
        (False, (), (1.0, 0.5, 2.0), False),
        (True, (), (1.0, float("nan"), 1.0), True),
        (True, ("noise",), (1.0, 3.0, 0.5), True),
        (True, ("noise",), (1.0, 3.0, 1.0), False),
        (False, ("collapse",), (1.0, 1.0, 9.0), False),  # what it says it cannot see does not help it
        (False, ("noise", "collapse"), (1.0, 0.0, 0.0), True),
        (None, (), (1.0, 0.0, 0.0), True),
    ],
)
def test_a_measure_orders_what_it_does_not_call_itself_blind_to(higher_is_better, blind, values, holds):
    measure = SimpleNamespace(higher_is_better=higher_is_better, ideal=None, insensitive_to=frozenset(blind))
    assert ranks_real_first(measure, *values) is holds


def test_a_measure_with_an_ideal_is_ordered_by_its_distance_from_it():
    measure = SimpleNamespace(higher_is_better=False, ideal=1.0, insensitive_to=frozenset({"collapse"}))
    assert ranks_real_first(measure, 1.1, 0.2, 1.1)
    assert not ranks_real_first(measure, 0.2, 1.1, 0.2)
