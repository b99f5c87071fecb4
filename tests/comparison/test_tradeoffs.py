"""Costs and what a model can be asked, on models of which all is known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from gancore import Domain, Spec
from gancore.comparison import tradeoffs
from gancore.comparison.analysis import Analysis
from gancore.comparison.tradeoff_table import measured_kind, time_to_target, tradeoff_row, tradeoff_statements
from gancore.comparison.tradeoffs import (
    LoadedTrial,
    measure_inversion,
    measure_likelihood,
    parameters_by_player,
    power_law_exponent,
    scaling,
    seconds_per_sample,
    time_sampling,
)
from gancore.config import RecipeConfig
from gancore.data.dataset import Data, TensorView
from gancore.games import adversarial_game, fitted_game, likelihood_game, normal
from gancore.games.discriminator import Discriminator
from gancore.games.sampler import Sampler
from gancore.models.model import Model
from gancore.recipe import Recipe

CPU = torch.device("cpu")


class Parallel(Sampler):
    """All of a sample in the same few operations, whatever its length."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(length))

    def sample(self, n, key, condition=None):
        return torch.tanh(key.normal(n, len(self.scale)) * self.scale)


class Sequential(Parallel):
    """A coordinate after the other."""

    def sample(self, n, key, condition=None):
        noise, x = key.normal(n, len(self.scale)), torch.zeros(n)
        made = []
        for place in range(len(self.scale)):
            x = torch.tanh(x + noise[:, place])
            made.append(x)
        return torch.stack(made, 1)


class Untrained(Recipe):
    """A game whose sampler is this class."""

    made: type = Parallel

    def build(self, config, spec):
        return fitted_game(self.made(spec["length"]))


class UntrainedSequential(Untrained):
    made = Sequential


class Long(Domain):
    name = "long"

    def scale_spec(self, spec, factor):
        return Spec({**spec.fields, "length": round(spec["length"] * factor)})


class Stiff(Domain):
    name = "stiff"


SPEC = Spec({"length": 64})


def trained(sampler: nn.Module, rows: torch.Tensor, labels: torch.Tensor | None = None) -> LoadedTrial:
    view = TensorView(rows, labels)
    data = Data(train=view, valid=view, test=view, spec=SPEC)
    model = Model(sampler, SPEC, Stiff(), {}, CPU)
    return LoadedTrial(model, fitted_game(Parallel(4)), Untrained(), RecipeConfig(), data)


@pytest.mark.parametrize("power", [-0.5, 0.0, 1.0, 2.0])
def test_the_exponent_of_a_power_law_is_found(power):
    sizes = [0.125, 0.25, 0.5, 1.0]
    assert power_law_exponent(sizes, [3 * size**power for size in sizes]) == pytest.approx(power, abs=1e-12)


def test_operations_grow_with_the_size_where_sampling_is_sequential_and_do_not_where_it_is_parallel():
    growth = {
        recipe: scaling(Long(), recipe(), RecipeConfig(), SPEC, CPU)
        for recipe in (Untrained, UntrainedSequential)
    }
    assert growth[Untrained]["operations_exponent"] == 0
    assert growth[UntrainedSequential]["operations_exponent"] == pytest.approx(1, abs=0.1)
    operations = [point["operations"] for point in growth[UntrainedSequential]["points"]]
    assert operations[3] - operations[2] == 2 * (operations[2] - operations[1])  # linear, to the last one


def test_data_without_a_size_are_not_measured_and_it_says_so():
    growth = scaling(Stiff(), Untrained(), RecipeConfig(), SPEC, CPU)
    assert growth["not_measured"] == "the data have no size that can be changed"


def test_a_size_that_the_recipe_refuses_is_named():
    class Picky(Untrained):
        def build(self, config, spec):
            if spec["length"] < 64:
                raise ValueError("too short for its layers")
            return super().build(config, spec)

    growth = scaling(Long(), Picky(), RecipeConfig(), SPEC, CPU)
    assert growth["not_measured"] == "at 0.5 of the size: ValueError: too short for its layers"


class Clock:
    """A call takes so long, by a clock of its own."""

    def __init__(self, *seconds: float) -> None:
        self.left, self.now = list(seconds), 0.0

    def __call__(self) -> None:
        self.now += self.left.pop(0) if len(self.left) > 1 else self.left[0]

    def perf_counter(self) -> float:
        return self.now


def test_the_median_of_warm_calls_is_taken(monkeypatch):
    clock = Clock(15.0, 1.0, 1.0, 5.0, 1.0, 1.0, 1.0, 1.0)
    monkeypatch.setattr(tradeoffs, "time", clock)
    timing = seconds_per_sample(clock, 4, CPU)
    assert (timing.seconds, timing.calls, timing.batch) == (0.25, 3, 4)  # then the patience was spent


def test_fast_ones_are_called_seven_times(monkeypatch):
    clock = Clock(0.5, 0.1)
    monkeypatch.setattr(tradeoffs, "time", clock)
    timing = seconds_per_sample(clock, 1, CPU)
    assert (timing.seconds, timing.calls) == (pytest.approx(0.1), 7)


def test_what_takes_long_is_called_once_and_that_is_told(monkeypatch):
    clock = Clock(100.0)
    monkeypatch.setattr(tradeoffs, "time", clock)
    timing = seconds_per_sample(clock, 10, CPU)
    assert (timing.seconds, timing.calls) == (10.0, 0)


def test_a_batch_that_does_not_fit_is_not_measured():
    class Large(Parallel):
        def sample(self, n, key, condition=None):
            if n > 1:
                raise RuntimeError("out of memory:  256 rows\nof this")
            return super().sample(n, key)

    times = time_sampling(Large(4), Stiff(), SPEC, CPU)
    assert times["1"]["calls"] >= 1
    assert times["256"] == {"not_measured": "RuntimeError: out of memory: 256 rows of this"}


class Gaussian(Sampler):
    """N(0, 1) in each coordinate, by which -log p is known; x = z + error."""

    capabilities = frozenset({"likelihood", "inversion"})

    def __init__(self, error: float = 0.0) -> None:
        super().__init__()
        self.error = error

    def log_prob(self, batch):
        x = batch.data
        return -0.5 * (x.square() + math.log(2 * math.pi)).sum(1)

    def invert(self, batch):
        return batch.data

    def render(self, latents, condition=None):
        return latents + self.error * (latents > 2)


def test_the_likelihood_of_a_gaussian_is_its_entropy():
    """-E log p = d/2 log(2 pi e) = 5.6758 for d = 4."""
    rows = torch.randn(4000, 4, generator=torch.Generator().manual_seed(0))
    likelihood = measure_likelihood(trained(Gaussian(), rows))
    assert likelihood["kind"] == "exact" and likelihood["n"] == 1000
    assert likelihood["low"] < 2 * math.log(2 * math.pi * math.e) < likelihood["high"]
    assert likelihood["high"] - likelihood["low"] < 0.4


def test_a_bound_is_called_one_and_what_is_not_comparable_none():
    rows = torch.zeros(8, 4)

    class Bound(Gaussian):
        lower_bound = True

    class Lossy(Gaussian):
        def log_prob(self, batch):
            return None

    assert measure_likelihood(trained(Bound(), rows))["kind"] == "bound"
    likelihood = measure_likelihood(trained(Lossy(), rows))
    assert likelihood["kind"] == "none" and "not invertible" in likelihood["note"]
    assert measure_likelihood(trained(Parallel(4), rows)) == {"kind": "none"}


def test_the_inversion_error_is_the_one_that_was_planted():
    """One of 40 values is off by 0.25."""
    rows = torch.zeros(10, 4)
    rows[3, 1] = 3.0
    inversion = measure_inversion(trained(Gaussian(error=0.25), rows))
    assert inversion["largest"] == pytest.approx(0.25) and inversion["mean"] == pytest.approx(0.25 / 40)
    assert inversion["largest_value"] == 3.0 and inversion["n"] == 10


def test_an_inversion_that_gives_no_number_is_not_called_exact():
    inversion = measure_inversion(trained(Gaussian(error=math.nan), torch.zeros(4, 4)))
    assert math.isnan(inversion["largest"])


def test_one_that_fails_is_said_to():
    class Broken(Gaussian):
        def render(self, latents, condition=None):
            raise RuntimeError("singular")

    inversion = measure_inversion(trained(Broken(), torch.zeros(4, 4)))
    assert inversion["kind"] == "failed" and "singular" in inversion["note"]


def test_a_conditional_model_renders_under_the_labels_of_its_rows():
    class Shifted(Gaussian):
        conditional = True

        def invert(self, batch):
            return batch.data - batch.condition[:, None]

        def render(self, latents, condition=None):
            return latents + condition[:, None]

    inversion = measure_inversion(trained(Shifted(), torch.randn(12, 4), torch.arange(12)))
    assert inversion["largest"] < 1e-5


class Judge(Discriminator):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 1)

    def logits(self, embedded, condition=None):
        return self.layer(embedded).squeeze(-1)


def test_parameters_are_those_of_the_sampler_and_of_each_player():
    game = adversarial_game(generator=lambda: nn.Linear(2, 4), discriminator=Judge, prior=normal(2))
    assert game.sampler().num_parameters == 2 * 4 + 4
    assert parameters_by_player(game) == {"generator": 12, "discriminator": 5}
    assert parameters_by_player(fitted_game(Parallel(4))) == {}
    assert parameters_by_player(likelihood_game(lambda: nn.Linear(2, 4))) == {"model": 12}


COSTS = {"players": {"a": 1, "b": 1}, "likelihood": {"kind": "none"}, "inversion": {"kind": "none"}}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "GAN"),
        ({"players": {"a": 1}, "likelihood": {"kind": "exact"}}, "likelihood model"),
        ({"players": {}}, "fitted model"),
        ({"players": {"a": 1}}, "model"),
        ({"likelihood": {"kind": "exact"}}, "GAN"),  # a flow that plays against an opponent
    ],
)
def test_the_kind_is_told_from_what_was_measured(changes, expected):
    assert measured_kind({0: COSTS | changes}) == expected


def test_of_several_seeds_the_worst_inversion_and_the_mean_likelihood_are_told():
    def cost(nll: float, largest: float) -> dict:
        return COSTS | {
            "parameters": 10,
            "likelihood": {"kind": "exact", "nll": nll},
            "inversion": {"kind": "measured", "largest": largest},
        }

    row = tradeoff_row("a", [], {0: cost(1.0, 1e-6), 1: cost(3.0, math.nan)}, Analysis())
    assert row["likelihood"]["mean_over_seeds"] == 2.0
    assert math.isnan(row["inversion"]["largest"])


def curve(*values: float) -> list[dict[str, float]]:
    return [{"seconds": 10.0 * n, "samples": 100.0 * n, "value": v} for n, v in enumerate(values, start=1)]


def test_the_time_to_the_level_that_all_reached():
    """The least of all trainings reached 4: the others had it after 10 s and after 20 s on the mean."""
    runs = [
        {"trial": "a-seed0", "name": "a", "weights": "x", "curves": {"m": curve(3, 2, 1)}},
        {"trial": "b-seed0", "name": "b", "weights": "x", "curves": {"m": curve(9, 4, 5)}},
        {"trial": "b-seed1", "name": "b", "weights": "x", "curves": {"m": curve(4, 3, 3)}},
        {"trial": "c-seed0", "name": "c", "weights": "x", "curves": {"m": curve(9, 8, 4)}},
    ]
    times = time_to_target(runs, "m", higher=False)
    assert times["target"] == 4
    assert times["seconds"] == {"a": 10, "b": 15, "c": 30}
    assert times["samples"] == {"a": 100, "b": 150, "c": 300}
    higher = [run | {"curves": {"m": curve(*(-p["value"] for p in run["curves"]["m"]))}} for run in runs]
    assert time_to_target(higher, "m", higher=True)["seconds"] == times["seconds"]


def timed(seconds: float | None, batch: str = "256") -> dict:
    timing = {"not_measured": "out of memory"} if seconds is None else {"seconds": seconds, "calls": 7}
    return {"seconds_a_sample": {"1": {"seconds": 1.0, "calls": 7}, batch: timing}}


def test_nobody_is_called_fast_beside_one_that_could_not_be_timed():
    statements = tradeoff_statements({"a": timed(0.001), "b": timed(None)})
    assert statements == []
    statements = tradeoff_statements({"a": timed(0.001), "b": timed(0.1)})
    assert statements == [
        "In batches of 256, a generates a sample in 1 ms and b in 100 ms, 100 times as long."
    ]
    assert tradeoff_statements({"a": timed(0.001), "b": timed(0.0012)}) == []
