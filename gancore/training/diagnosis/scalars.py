"""Checks of logged scalars and of the logits of the discriminator.

They find non-finite values, a discriminator that always wins, a vanishing generator gradient, oscillations of
a loss that grow, and memorisation.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from gancore.training.diagnosis.checks import Check
from gancore.training.diagnosis.oscillation import detrended, period_of

SATURATED = 0.9  # D(real) - D(fake) above which the output of the discriminator has almost no gradient
FALL_DECADES = 2.0  # smallest fall of a vanishing generator gradient, in decades
MEDIAN_OF = 3  # number of reports in the running median of the generator gradient
HISTORY = 40  # number of reports of a loss
MIN_GROWTH = 1.3  # smallest growth of the oscillations of a loss between quarters of its history
LEVEL = 1e-3  # level of Fisher's test of a loss: noise may grow, too, but has no period


class ScalarChecks:
    """Checks the scalars of one run, named as in :class:`gancore.progress.ProgressReport`."""

    def __init__(self) -> None:
        self._probabilities = True
        self._begin(None)

    def _begin(self, phase: Any) -> None:
        """Start a phase without the history of the last one: each phase has its own costs and scales."""
        self._phase, self._healthy_gradient = phase, 0.0
        self._gradients: deque[float] = deque(maxlen=MEDIAN_OF)
        self._losses: dict[str, deque[float]] = {}

    def checks(self, step: int, mapping: Mapping[str, Any]) -> Iterator[Check]:
        """Check the scalars of a log step, which may contain ``phase``."""
        if mapping.get("phase") != self._phase:
            self._begin(mapping.get("phase"))
        numbers = {name: float(value) for name, value in mapping.items() if isinstance(value, (int, float))}
        yield non_finite(step, numbers)
        outputs = self._outputs(numbers)
        yield discriminator_wins(step, outputs)
        yield from self._vanishing(step, numbers.get("generator/gradient_norm", math.nan), outputs)
        for name, value in numbers.items():
            if name.endswith("/loss") and math.isfinite(value):
                yield from self._growth(step, name, value)

    def _outputs(self, numbers: Mapping[str, float]) -> tuple[float, float] | None:
        """D(real) and D(fake); None if they are unknown or not probabilities."""
        real, fake = numbers.get("D(real)", math.nan), numbers.get("D(fake)", math.nan)
        if not (math.isfinite(real) and math.isfinite(fake)):
            return None
        # Scores of a critic are unbounded: a single one outside [0, 1] decides for the whole run.
        self._probabilities &= min(real, fake) >= 0 and max(real, fake) <= 1
        return (real, fake) if self._probabilities else None

    def _vanishing(self, step: int, norm: float, outputs: tuple[float, float] | None) -> Iterator[Check]:
        """Check for a vanishing gradient (Arjovsky and Bottou, 2017, theorem 2.4).

        The gradient goes to zero as D approaches a perfect classifier. It is also small at equilibrium, but
        there D does not distinguish samples from real rows.
        """
        if not math.isfinite(norm) or outputs is None:
            return
        self._gradients.append(norm)
        if len(self._gradients) == MEDIAN_OF:  # the largest median also detects a slow fall
            self._healthy_gradient = max(self._healthy_gradient, statistics.median(self._gradients))
        gap = outputs[0] - outputs[1]
        observed = (
            f"at step {step} the gradient norm of the generator is {norm:.1e}, its running median was "
            f"{self._healthy_gradient:.1e}; D(real) - D(fake) = {gap:.3f}"
        )
        fallen = norm < self._healthy_gradient * 10**-FALL_DECADES
        yield Check("vanishing generator gradient", fallen and gap > SATURATED, observed)

    def _growth(self, step: int, name: str, value: float) -> Iterator[Check]:
        history = self._losses.setdefault(name, deque(maxlen=HISTORY))
        history.append(value)
        if len(history) < HISTORY:
            return
        swings, turns = _swings(history)
        growths = [later / earlier if earlier else math.inf for earlier, later in pairwise(swings)]
        # Exponential growth, not a jump; and not small noise of a large loss.
        growing = min(growths) > MIN_GROWTH and max(growths) < 2 * min(growths)
        wide = swings[-1] > 0.25 * abs(statistics.fmean(history))
        failed = growing and wide and _periodic(history)
        observed = (
            f"in the {HISTORY} reports up to step {step} {name} crossed its trend {turns} times, and its "
            f"mean deviation from it grew from {swings[0]:.2g} to {swings[-1]:.2g}"
        )
        yield Check("oscillation", failed, observed, part=name)


def non_finite(step: int, numbers: Mapping[str, float]) -> Check:
    observed = [f"{name} is {value}" for name, value in numbers.items() if not math.isfinite(value)]
    for name, share in numbers.items():
        if name.endswith("/masked") and share > 0:
            player = name.removesuffix("/masked")
            observed.append(f"{share:.1%} of {player}'s updates had a non-finite gradient and were skipped")
    return Check("non-finite values", bool(observed), f"at step {step} {', '.join(observed)}")


def discriminator_wins(step: int, outputs: tuple[float, float] | None) -> Check:
    real, fake = outputs or (math.nan, math.nan)
    observed = f"D(real) > 0.99 and D(fake) < 0.01 in 10 reports; step {step}: {real:.4f}, {fake:.4f}"
    return Check("discriminator wins", real > 0.99 and fake < 0.01, observed)


def _periodic(series: Sequence[float]) -> bool:
    (residual,) = detrended(torch.tensor([list(series)], dtype=torch.float64))
    return period_of(residual)[1] < LEVEL


def _swings(series: Sequence[float]) -> tuple[list[float], int]:
    """The mean absolute deviation from the trend in each quarter, and the number of crossings of it."""
    slope, intercept = statistics.linear_regression(range(len(series)), series)
    residual = [value - slope * step - intercept for step, value in enumerate(series)]
    quarter = len(series) // 4
    swings = [statistics.fmean(map(abs, residual[i * quarter : (i + 1) * quarter])) for i in range(4)]
    return swings, sum(a * b < 0 for a, b in pairwise(residual))


MIN_RV = 0.25  # largest r_v that is not reported
MIN_SIGMAS = 3.5  # smallest difference of means, in standard errors
MIN_ROWS = 16  # smallest number of rows of each kind


def discriminator_checks(train: Tensor, valid: Tensor, fake: Tensor) -> Iterator[Check]:
    """Check whether the discriminator memorised train, from its logits of the three kinds of rows, (n, ...).

    r_v = (E D_train - E D_valid) / (E D_train - E D_fake) (Karras et al., 2020 (ADA), eq. 1). It is 0 if
    nothing is memorised, and 1 if held-out rows have the logits of generated rows. The numerator must exceed
    ``MIN_SIGMAS`` standard errors (Welch), which has a probability of 1/4,300 if the means are equal.
    """
    train, valid, made = (x.detach().cpu().double().reshape(len(x), -1).mean(1) for x in (train, valid, fake))
    if min(len(train), len(valid), len(made)) < MIN_ROWS:
        return
    gap = float(train.mean() - valid.mean())
    error = math.sqrt(float(train.var() / len(train) + valid.var() / len(valid)))
    whole = float(train.mean() - made.mean())
    heuristic = gap / whole if whole > 0 else 0.0
    observed = (
        f"the discriminator distinguishes {len(train)} rows of train from {len(valid)} held-out rows: mean "
        f"logits {train.mean():.2f} and {valid.mean():.2f}, of generated rows {made.mean():.2f} "
        f"(r_v = {heuristic:.2f})"
    )
    yield Check("memorising discriminator", gap > MIN_SIGMAS * error and heuristic > MIN_RV, observed)
