"""Measures against the truth: of samples alone; the reference rows are not looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from gancore import Evidence, Interval, Measure, Spec
from gancore.evaluation.intervals import clopper_pearson, subsampling
from gancore.evaluation.measure import Anchor
from gancore_synthetic.mixtures import Mixture
from gancore_synthetic.truth import Truth, truth_of

FAR = 1e9
"""Where a value that is not finite is put."""


def captured(truth: Truth, points: Tensor) -> int:
    """How many components have a sample: their nearest, and on the support (PacGAN's captured modes)."""
    return len(truth.assign(points)[truth.on_support(points)].unique())


def share_on_support(truth: Truth, points: Tensor) -> float:
    """In percent. For Gaussians: nearer than 3 standard deviations to a mean, PacGAN's high quality."""
    return 100 * float(truth.on_support(points).double().mean())


def reverse_kl(truth: Truth, points: Tensor) -> float:
    """sum_k q_k log(q_k / w_k), q_k the share of component k among the samples on the support, in nats.

    For K equal components log K - entropy of the counts. PacGAN's text speaks of all samples, its code
    counts those of high quality, as here. Without any, all weight is on the rarest component.
    """
    component = truth.assign(points)[truth.on_support(points)]
    if not len(component):
        return float(-truth.weights.min().log())
    q = torch.bincount(component, minlength=len(truth.weights)).double() / len(component)
    return float(torch.special.xlogy(q, q / truth.weights).sum())


def density_error(truth: Truth, points: Tensor) -> float:
    """Total variation between samples and truth over the truth's cells, 1/2 sum_c |q_c - p_c|: 0 to 1.

    Cells are components times levels of the density (:meth:`Truth.cells`). n samples of the truth
    itself have about sqrt(C / (2 pi n)), C cells.
    """
    masses = truth.cell_masses
    q = torch.bincount(truth.cells(points), minlength=len(masses)).double() / len(points)
    return float((q - masses).abs().sum() / 2)


def off_support(truth: Truth, points: Tensor) -> float:
    """Percent of the samples off the support, or farther from it than 99.9 % of true points are."""
    return 100 - share_on_support(truth, points)


def measures_for(spec: Spec) -> frozenset[str]:
    """Those that mean something for this source."""
    truth = truth_of(spec)
    countable = len(truth.weights) > 1 and "side" not in spec["knobs"]
    meaning = {
        "modes": countable,
        "reverse_kl": countable,
        "high_quality": isinstance(truth, Mixture),
        "off_support": truth.has_support and not isinstance(truth, Mixture),
        "density_error": type(truth).cells is not Truth.cells or truth.has_density,
    }
    return frozenset(name for name, holds in meaning.items() if holds)


def _points(evidence: Evidence) -> Tensor:
    return torch.nan_to_num(evidence.fake.samples.double(), FAR, FAR, -FAR)


def _of(value: Callable[[Truth, Tensor], float]) -> Callable[[Evidence], float]:
    return lambda evidence: value(truth_of(evidence.spec), _points(evidence))


def _exact_percent(on_support: bool) -> Callable[[Evidence], Interval]:
    """Clopper and Pearson's, of the share that is on the support, or off it."""

    def interval(evidence: Evidence) -> Interval:
        on = int(truth_of(evidence.spec).on_support(_points(evidence)).sum())
        n = len(evidence.fake)
        low, high, method = clopper_pearson(on if on_support else n - on, n)
        return Interval(100 * low, 100 * high, method)

    return interval


FEW: frozenset[Anchor] = frozenset({"collapse"})
"""A few good points over and over are good points, and may be of all components."""
MEASURES: Mapping[str, Measure] = {
    "modes": Measure(
        _of(captured), unit="components", better="higher", blind=FEW | {"noise"}, kind="diversity"
    ),
    "high_quality": Measure(
        _of(share_on_support), "%", "higher", _exact_percent(True), blind=FEW, kind="fidelity"
    ),
    "reverse_kl": Measure(_of(reverse_kl), "nats", interval=subsampling(_of(reverse_kl))),
    "density_error": Measure(_of(density_error), "total variation", interval=subsampling(_of(density_error))),
    "off_support": Measure(_of(off_support), "%", "lower", _exact_percent(False), blind=FEW, kind="fidelity"),
}
modes, high_quality, kl, density, outside = MEASURES.values()
