"""Measures of samples whose quality is known."""

import math

import pytest
import torch
from gancore_synthetic.config import PARAMETERS
from gancore_synthetic.metrics import (
    METRICS,
    count_modes,
    density_error,
    meaningful_metrics,
    off_support,
    reverse_kl,
    share_on_support,
)
from gancore_synthetic.registry import make_distribution

from gancore import MetricInputs, Spec
from gancore.random import Key


def truth(source, **parameters):
    return make_distribution(source, {**PARAMETERS[source], **parameters}, 0)


def draws(own, n=20_000):
    return own.sample(n, Key.of("held out"))


def spec(source):
    return Spec({"source": source, "parameters": dict(PARAMETERS[source]), "seed": 0})


@pytest.mark.parametrize("source", ["ring", "grid"])
def test_true_samples_are_of_high_quality_as_often_as_theory_says(source):
    """P(Mahalanobis < 3) = 1 - e^-4.5 in the plane."""
    own = truth(source)
    assert share_on_support(own, draws(own)[0]) == pytest.approx(100 * (1 - math.exp(-4.5)), abs=0.3)


def test_noise_twice_as_wide_has_less_quality_by_the_same_law():
    own = truth("ring")
    points, component = draws(own)
    wide = own.means[component] + 2 * (points - own.means[component])
    assert share_on_support(own, wide) == pytest.approx(100 * (1 - math.exp(-4.5 / 4)), abs=1)


def test_lost_components_are_counted_and_cost_their_logarithm():
    """Half of the modes: log 8 - log 4 = log 2."""
    own = truth("ring")
    points, component = draws(own)
    half = points[component < 4]
    assert count_modes(own, half) == 4
    assert reverse_kl(own, half) == pytest.approx(math.log(2), abs=1e-3)
    assert count_modes(own, points) == 8
    assert reverse_kl(own, points) == pytest.approx(0, abs=1e-3)


def test_weights_count_in_the_divergence():
    """Equal shares of modes whose weights are as 1 : 4 : 16."""
    own = truth("ring", components=3, imbalance=16.0)
    equal = own.means.repeat(100, 1)
    expected = sum(math.log((1 / 3) / w) / 3 for w in own.weights.tolist())
    assert reverse_kl(own, equal) == pytest.approx(expected)


def test_samples_that_are_nowhere_capture_nothing():
    own = truth("grid")
    nowhere = torch.full((10, 2), 50.0, dtype=torch.float64)
    assert count_modes(own, nowhere) == 0 and share_on_support(own, nowhere) == 0
    assert reverse_kl(own, nowhere) == pytest.approx(math.log(25))


def test_only_samples_of_high_quality_are_counted_as_in_pacgans_code():
    own = truth("ring")
    inside, far = own.means[:1].repeat(10, 1), 1.5 * own.means[1:2].repeat(90, 1)
    assert reverse_kl(own, torch.cat([inside, far])) == pytest.approx(math.log(8))


@pytest.mark.slow
@pytest.mark.parametrize("source", [s for s in PARAMETERS if s not in ("polygons", "triangles")])
def test_true_samples_have_the_density_error_of_chance(source):
    """About sqrt(C / (2 pi n)), C cells."""
    own = truth(source)
    n = 4000
    cells = int((own.cell_masses > 0).sum())
    assert own.cell_masses.sum().item() == pytest.approx(1)
    assert density_error(own, draws(own, n)[0]) < 1.6 * math.sqrt(cells / (2 * math.pi * n))


def test_half_of_the_components_is_half_of_the_mass():
    own = truth("grid")
    points, component = draws(own)
    assert density_error(own, points[component < 10]) == pytest.approx(15 / 25, abs=0.02)


def test_samples_on_the_means_alone_miss_every_level_but_the_highest():
    """Of L levels of equal mass all samples are in one: 1 - 1/L."""
    own = truth("ring")
    assert density_error(own, own.means.repeat(100, 1)) == pytest.approx(1 - 1 / 3, abs=0.02)


def test_wide_noise_has_the_error_of_its_integral():
    """P(|x| > r) = e^(-r^2 / 2): beyond where a third of the truth lies, 3^(-1/s^2) of s x lies."""
    own, s = truth("ring"), 2.0
    points, component = draws(own)
    wide = own.means[component] + s * (points - own.means[component])
    masses = [3 ** (-1 / s**2), 1.5 ** (-1 / s**2)]  # beyond the outer and the inner third
    shares = [masses[0], masses[1] - masses[0], 1 - masses[1]]
    expected = sum(abs(q - 1 / 3) for q in shares) / 2
    assert density_error(own, wide) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("source", ["spirals", "circles", "manifold", "lattice", "pieces"])
def test_true_samples_are_on_the_support_and_moved_ones_are_not(source):
    own = truth(source)
    points, _ = draws(own, 5000)
    assert off_support(own, points) < 0.5
    assert off_support(own, points + 100.0) == 100
    mixed = torch.cat([points[:300], points[:100] + 100.0])
    assert off_support(own, mixed) == pytest.approx(25, abs=0.5)


def test_samples_between_pieces_are_outside_and_no_density_is_there():
    own = truth("pieces")  # cubes about -1.5, 0 and 1.5
    between = torch.tensor([[0.75, 0.0], [0.0, 0.7], [0.4, 0.4]], dtype=torch.float64)
    assert off_support(own, between) == pytest.approx(200 / 3)
    assert torch.isneginf(own.log_density(between)).tolist() == [True, True, False]


def test_measures_are_those_that_mean_something():
    assert meaningful_metrics(spec("ring")) == {"modes", "high_quality", "reverse_kl", "density_error"}
    assert meaningful_metrics(spec("pieces")) == {"modes", "reverse_kl", "off_support", "density_error"}
    assert meaningful_metrics(spec("student-t")) == {"density_error"}
    assert meaningful_metrics(spec("manifold")) == {"off_support", "density_error"}
    assert meaningful_metrics(spec("polygons")) == {"off_support"}


@pytest.mark.parametrize("source", PARAMETERS)
def test_broken_samples_are_measured_as_bad(source):
    own = truth(source)
    broken = torch.full((20, *own.shape), torch.nan)
    values = {
        name: METRICS[name].compute(MetricInputs.from_samples(broken, broken, spec(source)))
        for name in meaningful_metrics(spec(source))
    }
    assert all(math.isfinite(value) for value in values.values())
    assert values.get("off_support", 100) == 100 and values.get("modes", 0) == 0
    assert values.get("density_error", 1) > 0.4


@pytest.mark.long
def test_intervals_hold_the_expectation_as_often_as_they_say():
    """Points half of which are noise, 400 at a time, 150 times: 95 % of the intervals, less 3 sd of that."""
    own, n, times = truth("ring"), 400, 150
    held = dict.fromkeys(("high_quality", "reverse_kl", "density_error"), 0)
    drawn = [half_noise(own, n, Key.of("coverage", i)) for i in range(2 * times)]
    for name in held:
        measure = METRICS[name]
        expected = sum(measure.compute(inputs) for inputs in drawn[times:]) / times
        for inputs in drawn[:times]:
            low, high, _ = measure.interval(inputs)
            held[name] += low <= expected <= high
    assert all(count / times >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / times) for count in held.values()), held


def half_noise(own, n: int, key: Key) -> MetricInputs:
    points = own.sample(n, key)[0]
    points[: n // 2] = 2 * (key / "noise").normal(n // 2, 2)
    return MetricInputs.from_samples(points.float(), points[:16].float(), spec("ring"))
