"""Precision and recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020) by k-NN balls.

A ball about a row has the distance to its k-th neighbour among its own set, itself left out, for radius;
what lies on its border is within. Arguments stand in the order (real, fake) everywhere. Rows are (n, d); any
d, float64 within. All four depend on n and are not 1 for equal laws: compare at equal n alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from torch import Tensor

from gancore.evaluation.distances import CHUNK_ENTRIES, chunks, nearest
from gancore.evaluation.evidence import Evidence
from gancore.evaluation.intervals import subsampling
from gancore.evaluation.measure import Anchor, Measure
from gancore.evaluation.pairs import on_features
from gancore.evaluation.tails import doubt_of_few, doubt_of_scale, first

PRECISION_K = 3
DENSITY_K = 5


def radii(x: Tensor, k: int, entries: int = CHUNK_ENTRIES) -> Tensor:
    """NND_k: distance of each row of x (n, d) to its k-th nearest other row, (n) float64."""
    return nearest(x, x, k, exclude_self=True, entries=entries)[0][:, -1]


def precision(real: Tensor, fake: Tensor, k: int = PRECISION_K, entries: int = CHUNK_ENTRIES) -> float:
    """1/M sum_j 1[exists i: |y_j - x_i| <= NND_k(x_i)]: share of fakes within any real ball; eq. 1 there."""
    radius = radii(real, k, entries)
    return sum(int(c.within(radius).any(1).sum()) for c in chunks(fake, real, entries)) / len(fake)


def recall(real: Tensor, fake: Tensor, k: int = PRECISION_K, entries: int = CHUNK_ENTRIES) -> float:
    """1/N sum_i 1[exists j: |x_i - y_j| <= NND_k(y_j)]: share of real rows within any fake ball; eq. 2."""
    return precision(fake, real, k, entries)


def density(real: Tensor, fake: Tensor, k: int = DENSITY_K, entries: int = CHUNK_ENTRIES) -> float:
    """1/(k M) sum_j sum_i 1[|y_j - x_i| <= NND_k(x_i)]: real balls about a fake, over k; can exceed 1."""
    radius = radii(real, k, entries)
    return sum(int(c.within(radius).sum()) for c in chunks(fake, real, entries)) / (k * len(fake))


def coverage(real: Tensor, fake: Tensor, k: int = DENSITY_K, entries: int = CHUNK_ENTRIES) -> float:
    """1/N sum_i 1[exists j: |y_j - x_i| <= NND_k(x_i)]: share of real balls that hold a fake."""
    radius = radii(real, k, entries)
    closest = nearest(real, fake, 1, entries=entries)[0][:, 0]
    return float((closest <= radius).double().mean())


def _measure(
    function: Callable[[Tensor, Tensor], float],
    fraction: float,
    share_of: Literal["fake", "real"] | None,
    doubt: Callable[[Evidence], str],
    **facts: Any,
) -> Measure:
    compute = on_features(function)
    return Measure(
        compute,
        "share" if share_of else "ratio",
        better="higher",
        interval=subsampling(compute, fraction, draws=25, least=2 * DENSITY_K, share_of=share_of, lowest=0.0),
        needs=frozenset({"features"}),
        doubt=doubt,
        **facts,
    )


DOUBT = first(doubt_of_few, doubt_of_scale)
FEW: frozenset[Anchor] = frozenset({"collapse", "points"})
WIDE: frozenset[Anchor] = frozenset({"widened"})
precision_measure = _measure(precision, 1 / 3, "fake", doubt_of_scale, kind="fidelity", blind=FEW)
"""Share of samples that lie where real ones do; few samples over and over may do so too."""
recall_measure = _measure(recall, 1 / 3, "real", DOUBT, kind="diversity", blind=WIDE)
"""Share of real rows that lie where samples do; where these lie far apart, their balls hold everything."""
density_measure = _measure(density, 1 / 2, None, DOUBT, kind="fidelity", blind=FEW, ideal=1.0)
"""How densely real rows lie about samples: 1 on average for equal laws, more for samples in their middle."""
coverage_measure = _measure(coverage, 1 / 2, "real", DOUBT, kind="diversity")
"""Share of real rows with a sample nearby."""
