"""What a run may select on, and which value is the better one."""

import math
from types import SimpleNamespace

import pytest
import torch
from refusals import refused
from torch import nn
from toy_games import DenseDiscriminator, Rows, points

from gancore.data.dataset import Spec
from gancore.domain import Domain
from gancore.errors import ConfigError
from gancore.games import Identity, adversarial_game, likelihood_game, normal
from gancore.random import Key
from gancore.training.validation import NLL, Validator


class Gaussian(nn.Module):
    def __init__(self):
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(2))

    def log_prob(self, x):
        return torch.distributions.Normal(self.mean, 1.0).log_prob(x).sum(1)

    def sample(self, n, key):
        return self.mean + key.normal(n, 2)


class Incomparable(Identity):
    def log_det(self, batch):
        return None


def validator():
    return Validator(Domain(), Spec({}), Rows(points(20)), 64, Key.of("valid", 0))


def test_nll_is_the_mean_over_valid_in_nats_and_the_same_each_time():
    sampler = likelihood_game(Gaussian).sampler()
    expected = -torch.distributions.Normal(0.0, 1.0).log_prob(points(20)).sum(1).mean().item()
    assert validator().validate(sampler) == validator().validate(sampler)
    assert validator().validate(sampler)[NLL] == pytest.approx(expected)


def test_a_run_selects_only_on_what_it_measures():
    gan = adversarial_game(
        generator=lambda: nn.Linear(3, 2), discriminator=DenseDiscriminator, prior=normal(3)
    ).sampler()
    validator().require_metric(NLL, likelihood_game(Gaussian).sampler())
    validator().require_metric(None, gan)
    for sampler in (gan, likelihood_game(Gaussian, representation=Incomparable()).sampler()):
        with refused(ConfigError, "validation.select", "nll"):
            validator().require_metric(NLL, sampler)


def test_lower_nll_is_better_and_any_number_beats_none():
    run = validator()
    run.metrics = {"share": SimpleNamespace(higher_is_better=True, ideal=None, requires=frozenset())}
    assert run.is_better(NLL, 1.0, 2.0) and not run.is_better(NLL, 2.0, 1.0)
    assert run.is_better("share", 2.0, 1.0) and not run.is_better("share", 1.0, 2.0)
    for name in (NLL, "share"):
        assert run.is_better(name, 1.0, math.nan) and not run.is_better(name, math.nan, 1.0)


def test_a_metric_with_an_ideal_selects_the_value_nearest_to_it():
    """An edge overlap of one half: neither more nor less is better."""
    run = validator()
    run.metrics = {"overlap": SimpleNamespace(higher_is_better=None, ideal=0.5, requires=frozenset())}
    run.require_metric("overlap", likelihood_game(Gaussian).sampler())
    assert run.is_better("overlap", 0.45, 0.6) and run.is_better("overlap", 0.55, 0.3)
    assert not run.is_better("overlap", 0.9, 0.6) and not run.is_better("overlap", 0.1, 0.6)


def test_a_metric_without_a_better_end_or_an_ideal_selects_nothing():
    run = validator()
    run.metrics = {"edges": SimpleNamespace(higher_is_better=None, ideal=None, requires=frozenset())}
    with refused(ConfigError, "validation.select", "edges", fix="nll"):
        run.require_metric("edges", likelihood_game(Gaussian).sampler())
