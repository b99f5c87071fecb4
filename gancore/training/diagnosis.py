"""A cheap watch over every run: on the scalars that are logged and the samples that are shown.

Nothing is computed for it that the run would not compute anyway. Each fault is reported once, and
again only after it has gone and come back. Scalars are named as in
:class:`gancore.training.progress.Report`.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from gancore.domain import Finding
from gancore.trees import Tree, leaves

SATURATED = 0.9  # D(real) - D(fake) from which the discriminator's answer carries next to no gradient
DECADES = 3.0  # by which the generator's gradient falls when it vanishes
COLLAPSED = 0.05  # share of the reference's diversity below which samples are as good as one
WINDOW = 10  # reports: of a running median, a quarter of a loss's history, a victory
GROWTH = 1.3  # of a loss's swings from one quarter of its history to the next, when it runs away
CALM = 5  # reports or previews without a fault, after which it is told anew
ROWS = 64  # samples compared with each other at most

_STEADIER = "lower the learning rates, clip gradients, or train in fp32 (--precision fp32)"
_R1 = "raise the weight of the gradient penalty (R1)"
_SLOWER = "lower the discriminator's learning rate"
_PACKING = "let the discriminator see several samples at once (packing, minibatch features)"
_FAULTS = {  # name: (times on end before it is reported, remedy)
    "non-finite values": (1, _STEADIER),
    "non-finite samples": (1, _STEADIER),
    "discriminator wins": (WINDOW, f"{_R1}, {_SLOWER}, or give the generator more moves"),
    "vanishing generator gradient": (3, f"use the non-saturating or a Wasserstein loss, {_R1}, or {_SLOWER}"),
    "oscillation": (WINDOW, f"{_R1}, lower both learning rates, or lower Adam's first beta"),
    "diversity collapse": (2, f"{_R1}, {_PACKING}, or lower the generator's learning rate"),
}


class Diagnosis:
    """Feed it every report and every preview; it answers with what is newly wrong."""

    def __init__(self) -> None:
        self._alarms: dict[str, _Alarm] = {}
        self._probabilities = True
        self._reference: list[float] | None = None
        self._begin(None)

    def _begin(self, phase: Any) -> None:
        """A phase has costs and scales of its own."""
        self._phase, self._healthy_gradient = phase, 0.0
        self._gradients: deque[float] = deque(maxlen=WINDOW)
        self._losses: dict[str, deque[float]] = {}

    def scalars(self, step: int, mapping: Mapping[str, Any]) -> list[Finding]:
        """Faults that the scalars of this log step bring to light; ``phase`` may be among them."""
        if mapping.get("phase") != self._phase:
            self._begin(mapping.get("phase"))
        numbers = {name: float(value) for name, value in mapping.items() if isinstance(value, (int, float))}
        found = [
            self._non_finite(step, numbers),
            self._victory(step, numbers),
            self._vanishing(step, numbers),
        ]
        found += [self._oscillation(step, name, v) for name, v in numbers.items() if name.endswith("/loss")]
        return [finding for finding in found if finding]

    def reference(self, tree: Tree) -> None:
        """Show it real samples, so that it knows how diverse the data are."""
        self._reference = _diversity(tree)

    def samples(self, tree: Tree) -> list[Finding]:
        """Faults of preview samples: rows on axis 0 of every leaf."""
        broken = not all(bool(torch.isfinite(leaf).all()) for leaf in leaves(tree))
        found = [self._judge("non-finite samples", broken, "generated samples hold NaN or infinite values")]
        if not broken:
            found.append(self._collapse(_diversity(tree)))
        return [finding for finding in found if finding]

    def _non_finite(self, step: int, numbers: Mapping[str, float]) -> Finding | None:
        seen = [f"{name} is {value}" for name, value in numbers.items() if not math.isfinite(value)]
        for name, share in numbers.items():
            if name.endswith("/masked") and share > 0:
                player = name.removesuffix("/masked")
                seen.append(f"{share:.1%} of {player}'s updates had a non-finite gradient and were skipped")
        return self._judge("non-finite values", bool(seen), f"at step {step} {', '.join(seen)}")

    def _answers(self, numbers: Mapping[str, float]) -> tuple[float, float] | None:
        """D(real) and D(fake), where they are known and probabilities."""
        real, fake = numbers.get("D(real)", math.nan), numbers.get("D(fake)", math.nan)
        if not (math.isfinite(real) and math.isfinite(fake)):
            return None
        # A critic's scores have no bounds: one outside [0, 1] tells for the whole run.
        self._probabilities &= min(real, fake) >= 0 and max(real, fake) <= 1
        return (real, fake) if self._probabilities else None

    def _victory(self, step: int, numbers: Mapping[str, float]) -> Finding | None:
        answers = self._answers(numbers)
        real, fake = answers or (math.nan, math.nan)
        seen = f"D(real) > 0.99 and D(fake) < 0.01 in {WINDOW} reports; step {step}: {real:.4f}, {fake:.4f}"
        return self._judge("discriminator wins", real > 0.99 and fake < 0.01, seen)

    def _vanishing(self, step: int, numbers: Mapping[str, float]) -> Finding | None:
        norm, answers = numbers.get("generator/gradient_norm", math.nan), self._answers(numbers)
        if not math.isfinite(norm) or answers is None:
            return None
        self._gradients.append(norm)
        if len(self._gradients) == WINDOW:  # the highest running median: sees a fall as slow as the run, too
            self._healthy_gradient = max(self._healthy_gradient, statistics.median(self._gradients))
        gap = answers[0] - answers[1]
        seen = (
            f"at step {step} the generator's gradient norm is {norm:.1e}, its running median was "
            f"{self._healthy_gradient:.1e}; D(real) - D(fake) = {gap:.3f}"
        )
        fallen = norm < self._healthy_gradient * 10**-DECADES
        return self._judge("vanishing generator gradient", fallen and gap > SATURATED, seen)

    def _oscillation(self, step: int, name: str, value: float) -> Finding | None:
        history = self._losses.setdefault(name, deque(maxlen=4 * WINDOW))
        if math.isfinite(value):
            history.append(value)
        if len(history) < 4 * WINDOW or not math.isfinite(value):
            return None
        swings, turns = _swings(history)
        growths = [later / earlier if earlier else math.inf for earlier, later in pairwise(swings)]
        growing = min(growths) > GROWTH and max(growths) < 2 * min(growths)  # as a power, not by a leap
        wide = swings[-1] > 0.25 * abs(statistics.fmean(history))  # small noise about a large loss is none
        seen = (
            f"in the {4 * WINDOW} reports up to step {step} {name} changed sides {turns} times, "
            f"and its swings grew from {swings[0]:.2g} to {swings[-1]:.2g}"
        )
        return self._judge("oscillation", growing and wide, seen, of=name)

    def _collapse(self, diversity: Sequence[float]) -> Finding | None:
        ratios = [own / real for own, real in zip(diversity, self._reference or (), strict=False) if real > 0]
        if not ratios:
            return None
        share = max(ratios)  # one leaf that is alike in all samples may be so by nature
        seen = f"generated samples differ from each other {share:.1%} as much as real ones do"
        return self._judge("diversity collapse", share < COLLAPSED, seen)

    def _judge(self, name: str, holds: bool, seen: str, of: str = "") -> Finding | None:
        patience, remedy = _FAULTS[name]
        alarm = self._alarms.setdefault(f"{name} {of}", _Alarm(patience))
        return Finding(name, seen, remedy) if alarm.rings(holds) else None


class _Alarm:
    """Rings when a fault has held ``patience`` times on end; then not before it was gone for a while."""

    def __init__(self, patience: int) -> None:
        self._patience, self._count, self._on = patience, 0, False

    def rings(self, holds: bool) -> bool:
        self._count = self._count + 1 if holds != self._on else 0
        if self._count < (max(self._patience, CALM) if self._on else self._patience):
            return False
        self._on, self._count = holds, 0
        return holds


def _swings(series: Sequence[float]) -> tuple[list[float], int]:
    """Mean absolute deviation from the trend in each quarter, and how often the series crosses it."""
    slope, intercept = statistics.linear_regression(range(len(series)), series)
    residual = [value - slope * step - intercept for step, value in enumerate(series)]
    quarter = len(series) // 4
    swings = [statistics.fmean(map(abs, residual[i * quarter : (i + 1) * quarter])) for i in range(4)]
    return swings, sum(a * b < 0 for a, b in pairwise(residual))


def _diversity(tree: Tree) -> list[float]:
    """Mean distance of two rows, by leaf: root mean square over entries; of ids, the share that differs."""
    return [_mean_distance(leaf.detach()[:ROWS].flatten(1)) for leaf in leaves(tree)]


def _mean_distance(rows: Tensor) -> float:  # (rows, entries)
    count, entries = rows.shape
    if count < 2 or entries == 0:
        return 0.0
    if not rows.is_floating_point():
        differing = sum(int((rows[i] != rows[i + 1 :]).sum()) for i in range(count))
        return differing / math.comb(count, 2) / entries
    # By differences: the faster form by products cannot tell near copies apart.
    distances = torch.cdist(rows.float(), rows.float(), compute_mode="donot_use_mm_for_euclid_dist")
    return float(distances.sum()) / (count * (count - 1)) / math.sqrt(entries)
