"""What is wrong with the model of a run, in one line, by its last evaluation or preview."""

from __future__ import annotations

import math
from typing import NamedTuple

from gancore.progress import format_number
from gancore.training.diagnosis.diversity import COLLAPSED, relative_diversity
from gancore.trees import Tree, tree_all_finite


class NoiseComparison(NamedTuple):
    """A measure of the samples and of noise: real rows whose coordinates are permuted over the rows."""

    name: str
    value: float
    noise: float
    higher_is_better: bool


def quality_warning(samples: Tree, diversity: list[float], comparison: NoiseComparison | None = None) -> str:
    """``collapsed: ...``, ``worse than noise: ...``, ``not finite: ...``; empty: nothing is wrong so far.

    ``diversity``: mean distances of real rows, by leaf
    (:func:`gancore.training.diagnosis.diversity.diversity`).
    """
    if not tree_all_finite(samples):
        return "not finite: generated samples hold NaN or infinite values"
    alike = relative_diversity(samples, diversity)
    if alike is not None and alike < COLLAPSED:
        return f"collapsed: generated samples differ from each other {alike:.1%} as much as real ones do"
    if comparison is not None and _is_worse(comparison):
        value, noise = format_number(comparison.value), format_number(comparison.noise)
        return (
            f"worse than noise: {comparison.name} is {value}, that of noise {noise}"
            f" ({'higher' if comparison.higher_is_better else 'lower'} is better)"
        )
    return ""


def _is_worse(comparison: NoiseComparison) -> bool:
    value, noise = comparison.value, comparison.noise
    if math.isnan(value) or math.isnan(noise):
        return False
    return value < noise if comparison.higher_is_better else value > noise
