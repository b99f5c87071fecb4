"""What a preview and an evaluation cost is measured before training, and bounded."""

from __future__ import annotations

import math
import time

import pytest
import torch
from torch import Tensor, nn
from toy_games import DenseDiscriminator, differing, points, run_config, set_up, whole

from gancore.data.dataset import Spec, TensorView
from gancore.domain import Domain
from gancore.errors import ConfigError
from gancore.games import Game, adversarial_game, normal
from gancore.games.training_setup import TrainingSetup
from gancore.random import Key
from gancore.training.monitor import Intervals, Monitor
from gancore.training.timing import TimeLimitError, measure_evaluation_costs, seconds_per_step, time_limit
from gancore.training.validation import Validator


class Walk(nn.Module):
    """A generator that calls a module step by step, a millisecond each."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps, self.layer = steps, nn.Linear(3, 2)
        self.made = 0

    def forward(self, latents: Tensor) -> Tensor:
        x: Tensor = self.layer(latents)
        for _ in range(self.steps):
            time.sleep(0.001)
            x = x + 0 * self.layer(latents)
            self.made += 1
        return x


def table_of(steps: int) -> TrainingSetup:
    def build() -> Game:
        return adversarial_game(
            generator=lambda: Walk(steps), discriminator=DenseDiscriminator, prior=normal(3)
        )

    return set_up(build, points())


class Writes(Domain):
    name = "writes"

    def write(self, samples, folder):  # type: ignore[no-untyped-def]
        return []


def watch_of(table: TrainingSetup) -> Monitor:
    validator = Validator(Writes(), Spec({}), TensorView(points()), 64, Key.of("valid", 0))
    return Monitor(table, Writes(), Spec({}), validator, Intervals.of(run_config(), 10), 16, 0)


def test_looks_are_measured_and_leave_no_trace() -> None:
    table = table_of(0)
    before = whole(table)
    costs = measure_evaluation_costs(watch_of(table), 60.0)
    assert 0 < costs.preview < math.inf and 0 < costs.evaluation < math.inf
    assert differing(before, whole(table)) == [] and table.game.training


def test_a_sampler_that_walks_for_longer_than_the_budget_allows_is_stopped() -> None:
    table = table_of(10**6)
    costs = measure_evaluation_costs(watch_of(table), 1.0)
    assert costs.preview == costs.evaluation == math.inf
    assert table.game.generator.made < 10**5  # type: ignore[union-attr, operator]
    assert table.game.training


def test_a_step_that_takes_longer_than_the_budget_is_stopped_and_refused() -> None:
    table = table_of(10**6)
    before = whole(table)
    with pytest.raises(ConfigError) as refusal:
        seconds_per_step(table, table.game.phases[0], 2.0)
    assert "--time" in refusal.value.fix and refusal.value.__suppress_context__
    assert table.game.generator.made < 10**5  # type: ignore[union-attr, operator]
    assert differing(before, whole(table)) == []


def test_no_module_is_stopped_when_the_deadline_is_over() -> None:
    layer = nn.Linear(2, 2)
    try:
        with time_limit(-1.0):
            layer(torch.zeros(1, 2))
        raise AssertionError("it was not stopped")
    except TimeLimitError:
        pass
    layer(torch.zeros(1, 2))
