"""What is wrong with a model that a run leaves, in one line: from its last evaluation or preview."""

from __future__ import annotations

import math
from typing import NamedTuple

from gancore.training.diagnosis.spread import COLLAPSED, alikeness
from gancore.training.report import format_number
from gancore.trees import Tree, all_finite


class BesideNoise(NamedTuple):
    """A measure of the samples and of noise: real rows whose coordinates are permuted over the rows."""

    name: str
    value: float
    noise: float
    better: str


def verdict(samples: Tree, diversity: list[float], beside: BesideNoise | None = None) -> str:
    """``collapsed: ...``, ``worse than noise: ...``, ``not finite: ...``; empty: nothing is wrong so far.

    ``diversity``: mean distances of real rows, by leaf (:func:`gancore.training.diagnosis.spread.diversity`).
    """
    if not all_finite(samples):
        return "not finite: generated samples hold NaN or infinite values"
    alike = alikeness(samples, diversity)
    if alike is not None and alike < COLLAPSED:
        return f"collapsed: generated samples differ from each other {alike:.1%} as much as real ones do"
    if beside is not None and _is_worse(beside):
        value, noise = format_number(beside.value), format_number(beside.noise)
        return (
            f"worse than noise: {beside.name} is {value}, that of noise {noise} ({beside.better} is better)"
        )
    return ""


def _is_worse(beside: BesideNoise) -> bool:
    if math.isnan(beside.value) or math.isnan(beside.noise):
        return False
    return beside.value < beside.noise if beside.better == "higher" else beside.value > beside.noise
