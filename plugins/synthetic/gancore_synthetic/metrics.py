"""Metrics against the known distribution: functions of the samples alone; the reference is ignored."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from gancore import Interval, Metric, MetricInputs, Spec
from gancore.metrics import Control, clopper_pearson, subsampling_interval
from gancore_synthetic.densities import Mixture
from gancore_synthetic.distribution import Distribution
from gancore_synthetic.registry import distribution_of

FAR = 1e9
"""Replaces values that are not finite."""


def count_modes(distribution: Distribution, points: Tensor) -> int:
    """Number of components that are the nearest one of a sample on the support (PacGAN's captured modes)."""
    return len(torch.unique(distribution.assign(points)[distribution.on_support(points)]))


def share_on_support(distribution: Distribution, points: Tensor) -> float:
    """In percent. For Gaussians: nearer than 3 standard deviations to a mean, PacGAN's high quality."""
    return 100 * float(distribution.on_support(points).double().mean())


def reverse_kl(distribution: Distribution, points: Tensor) -> float:
    """sum_k q_k log(q_k / w_k), q_k the share of component k among the samples on the support, in nats.

    For K equal components log K - entropy of the counts. PacGAN's text names all samples; its code
    counts those of high quality, as here. Without any, all weight is on the rarest component.
    """
    component = distribution.assign(points)[distribution.on_support(points)]
    if not len(component):
        return float(-distribution.weights.min().log())
    q = torch.bincount(component, minlength=len(distribution.weights)).double() / len(component)
    return float(torch.special.xlogy(q, q / distribution.weights).sum())


def density_error(distribution: Distribution, points: Tensor) -> float:
    """Total variation between samples and distribution over its cells, 1/2 sum_c |q_c - p_c|: 0 to 1.

    Cells are components times density levels (:meth:`Distribution.cells`). For n samples of the distribution
    itself it is about sqrt(C / (2 pi n)), C the number of cells.
    """
    masses = distribution.cell_masses
    q = torch.bincount(distribution.cells(points), minlength=len(masses)).double() / len(points)
    return float((q - masses).abs().sum() / 2)


def off_support(distribution: Distribution, points: Tensor) -> float:
    """Percent of the samples off the support, that is farther from it than 99.9 % of true points."""
    return 100 - share_on_support(distribution, points)


def meaningful_metrics(spec: Spec) -> frozenset[str]:
    """Names of the metrics that are meaningful for this source."""
    distribution = distribution_of(spec)
    countable = len(distribution.weights) > 1 and "image_size" not in spec["parameters"]
    meaning = {
        "modes": countable,
        "reverse_kl": countable,
        "high_quality": isinstance(distribution, Mixture),
        "off_support": distribution.has_support and not isinstance(distribution, Mixture),
        "density_error": type(distribution).cells is not Distribution.cells or distribution.has_density,
    }
    return frozenset(name for name, holds in meaning.items() if holds)


def _points(inputs: MetricInputs) -> Tensor:
    return torch.nan_to_num(inputs.fake.samples.double(), FAR, FAR, -FAR)


def _metric_of(value: Callable[[Distribution, Tensor], float]) -> Callable[[MetricInputs], float]:
    return lambda inputs: value(distribution_of(inputs.spec), _points(inputs))


def _exact_percent(on_support: bool) -> Callable[[MetricInputs], Interval]:
    """Clopper and Pearson's interval of the share on the support, or off it."""

    def interval(inputs: MetricInputs) -> Interval:
        on = int(distribution_of(inputs.spec).on_support(_points(inputs)).sum())
        n = len(inputs.fake)
        low, high, method = clopper_pearson(on if on_support else n - on, n)
        return Interval(100 * low, 100 * high, method)

    return interval


INSENSITIVE_TO_COLLAPSE: frozenset[Control] = frozenset({"collapse"})
"""A set that repeats a few good points is not penalised."""
METRICS: Mapping[str, Metric] = {
    "modes": Metric(
        _metric_of(count_modes),
        unit="components",
        higher_is_better=True,
        insensitive_to=INSENSITIVE_TO_COLLAPSE | {"noise"},
        kind="diversity",
    ),
    "high_quality": Metric(
        _metric_of(share_on_support),
        "%",
        True,
        _exact_percent(True),
        insensitive_to=INSENSITIVE_TO_COLLAPSE,
        kind="fidelity",
    ),
    "reverse_kl": Metric(
        _metric_of(reverse_kl), "nats", interval=subsampling_interval(_metric_of(reverse_kl))
    ),
    "density_error": Metric(
        _metric_of(density_error), "total variation", interval=subsampling_interval(_metric_of(density_error))
    ),
    "off_support": Metric(
        _metric_of(off_support),
        "%",
        False,
        _exact_percent(False),
        insensitive_to=INSENSITIVE_TO_COLLAPSE,
        kind="fidelity",
    ),
}
modes_metric = METRICS["modes"]
high_quality_metric = METRICS["high_quality"]
reverse_kl_metric = METRICS["reverse_kl"]
density_error_metric = METRICS["density_error"]
off_support_metric = METRICS["off_support"]
