"""What logged scalars tell: not finite, D always right, G's gradient gone, swings that grow."""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch

from gancore.training.diagnosis.spectrum import detrended, period_of
from gancore.training.diagnosis.verdicts import Sign

SATURATED = 0.9  # D(real) - D(fake) from which the discriminator's answer carries next to no gradient
DECADES = 2.0  # by which the generator's gradient falls when it vanishes
NORMS = 3  # reports: of the running median of the generator's gradient
HISTORY = 40  # reports: of a loss
GROWTH = 1.3  # of a loss's swings from one quarter of its history to the next, when it runs away
LEVEL = 1e-3  # of Fisher's test on a loss: noise may grow too, but shows no period


class Scalars:
    """Watches one run's scalars, named as in :class:`gancore.training.progress.Report`."""

    def __init__(self) -> None:
        self._probabilities = True
        self._begin(None)

    def _begin(self, phase: Any) -> None:
        """A phase has costs and scales of its own."""
        self._phase, self._healthy_gradient = phase, 0.0
        self._gradients: deque[float] = deque(maxlen=NORMS)
        self._losses: dict[str, deque[float]] = {}

    def signs(self, step: int, mapping: Mapping[str, Any]) -> Iterator[Sign]:
        """``phase`` may be among the scalars."""
        if mapping.get("phase") != self._phase:
            self._begin(mapping.get("phase"))
        numbers = {name: float(value) for name, value in mapping.items() if isinstance(value, (int, float))}
        yield non_finite(step, numbers)
        answers = self._answers(numbers)
        yield victory(step, answers)
        yield from self._vanishing(step, numbers.get("generator/gradient_norm", math.nan), answers)
        for name, value in numbers.items():
            if name.endswith("/loss") and math.isfinite(value):
                yield from self._growth(step, name, value)

    def _answers(self, numbers: Mapping[str, float]) -> tuple[float, float] | None:
        """D(real) and D(fake), where they are known and probabilities."""
        real, fake = numbers.get("D(real)", math.nan), numbers.get("D(fake)", math.nan)
        if not (math.isfinite(real) and math.isfinite(fake)):
            return None
        # A critic's scores have no bounds: one outside [0, 1] tells for the whole run.
        self._probabilities &= min(real, fake) >= 0 and max(real, fake) <= 1
        return (real, fake) if self._probabilities else None

    def _vanishing(self, step: int, norm: float, answers: tuple[float, float] | None) -> Iterator[Sign]:
        """Arjovsky and Bottou 2017, theorem 2.4: it goes to zero as D comes to tell all; at equilibrium it
        is small too, but there D does not tell.
        """
        if not math.isfinite(norm) or answers is None:
            return
        self._gradients.append(norm)
        if len(self._gradients) == NORMS:  # the highest running median: sees a fall as slow as the run, too
            self._healthy_gradient = max(self._healthy_gradient, statistics.median(self._gradients))
        gap = answers[0] - answers[1]
        seen = (
            f"at step {step} the generator's gradient norm is {norm:.1e}, its running median was "
            f"{self._healthy_gradient:.1e}; D(real) - D(fake) = {gap:.3f}"
        )
        fallen = norm < self._healthy_gradient * 10**-DECADES
        yield Sign("vanishing generator gradient", fallen and gap > SATURATED, seen)

    def _growth(self, step: int, name: str, value: float) -> Iterator[Sign]:
        history = self._losses.setdefault(name, deque(maxlen=HISTORY))
        history.append(value)
        if len(history) < HISTORY:
            return
        swings, turns = _swings(history)
        growths = [later / earlier if earlier else math.inf for earlier, later in pairwise(swings)]
        growing = min(growths) > GROWTH and max(growths) < 2 * min(growths)  # as a power, not by a leap
        wide = swings[-1] > 0.25 * abs(statistics.fmean(history))  # small noise about a large loss is none
        holds = growing and wide and _periodic(history)
        seen = (
            f"in the {HISTORY} reports up to step {step} {name} changed sides {turns} times, "
            f"and its swings grew from {swings[0]:.2g} to {swings[-1]:.2g}"
        )
        yield Sign("oscillation", holds, seen, of=name)


def non_finite(step: int, numbers: Mapping[str, float]) -> Sign:
    seen = [f"{name} is {value}" for name, value in numbers.items() if not math.isfinite(value)]
    for name, share in numbers.items():
        if name.endswith("/masked") and share > 0:
            player = name.removesuffix("/masked")
            seen.append(f"{share:.1%} of {player}'s updates had a non-finite gradient and were skipped")
    return Sign("non-finite values", bool(seen), f"at step {step} {', '.join(seen)}")


def victory(step: int, answers: tuple[float, float] | None) -> Sign:
    real, fake = answers or (math.nan, math.nan)
    seen = f"D(real) > 0.99 and D(fake) < 0.01 in 10 reports; step {step}: {real:.4f}, {fake:.4f}"
    return Sign("discriminator wins", real > 0.99 and fake < 0.01, seen)


def _periodic(series: Sequence[float]) -> bool:
    (residual,) = detrended(torch.tensor([list(series)], dtype=torch.float64))
    return period_of(residual)[1] < LEVEL


def _swings(series: Sequence[float]) -> tuple[list[float], int]:
    """Mean absolute deviation from the trend in each quarter, and how often the series crosses it."""
    slope, intercept = statistics.linear_regression(range(len(series)), series)
    residual = [value - slope * step - intercept for step, value in enumerate(series)]
    quarter = len(series) // 4
    swings = [statistics.fmean(map(abs, residual[i * quarter : (i + 1) * quarter])) for i in range(4)]
    return swings, sum(a * b < 0 for a, b in pairwise(residual))
