"""Detects oscillation: the mean of samples of fixed latents moves back and forth, with or without a period.

The period is found with Fisher's test against red noise.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from gancore.training.diagnosis.checks import Check
from gancore.trees import Tree, tree_leaves

WINDOW = 64  # number of checks that are examined together
STRIDES = (1, 2, 3)  # every check, every second, every third: with the default intervals, the whole run
MIN_AMPLITUDE = 0.5  # smallest amplitude, in standard deviations of the data
MIN_PATH_SHARE = 0.1  # smallest amplitude relative to the largest distance so far, if the data are a point
MIN_PERSISTENCE = 0.7  # smallest ratio of the amplitudes of second and first half; below is damping
CYCLES = 3  # smallest number of cycles in the window, which excludes trends
LEVEL = 1e-4  # level of Fisher's test
MIN_REVERSALS = 6  # smallest number of reversals, if there is no significant period
AXES = 32  # number of dimensions to which longer samples are projected


@dataclass(frozen=True)
class Swing:
    """The motion of a path along the direction of its largest variance.

    Attributes:
        amplitude: sqrt(2) times the standard deviation about the trend.
        persistence: the amplitude of the second half relative to the first.
        reversals: the number of moves from beyond half the amplitude on one side to the other side.
        period: the period in checks.
        p_value: the probability that red noise has a period of this significance.
    """

    amplitude: float
    persistence: float
    reversals: int
    period: float
    p_value: float

    @property
    def recurs(self) -> bool:
        periodic = self.p_value < LEVEL and self.period <= WINDOW / CYCLES
        return self.persistence > MIN_PERSISTENCE and (periodic or self.reversals >= MIN_REVERSALS)


def widest_swing(path: Tensor) -> Swing:
    """The swing of a path (checks, axes) float64."""
    detrended_path = detrended(path.T)  # (axes, checks)
    series = first_component(detrended_path)
    half = len(series) // 2
    early, late = (float(part.square().mean().sqrt()) for part in (series[:half], series[half:]))
    amplitude = math.sqrt(2) * float(series.square().mean().sqrt())
    if amplitude == 0:
        return Swing(0.0, 0.0, 0, math.inf, 1.0)
    persistence = late / early if early else math.inf
    return Swing(amplitude, persistence, _count_reversals(series, amplitude / 2), *period_of(series))


def first_component(series: Tensor) -> Tensor:  # (axes, checks)
    """Coordinates along the direction of the largest variance, (checks,)."""
    _, scales, along = torch.linalg.svd(series, full_matrices=False)
    component: Tensor = scales[0] * along[0]
    return component


def _count_reversals(series: Tensor, beyond: float) -> int:
    sides = [value > 0 for value in series.tolist() if abs(value) > beyond]
    return sum(one != other for one, other in pairwise(sides))


class OscillationCheck:
    """Checks samples of the same latents, which are given at regular intervals."""

    def __init__(self) -> None:
        self._deviation = 0.0
        self._path: deque[tuple[int, Tensor]] = deque(maxlen=WINDOW * max(STRIDES))
        self._start: Tensor | None = None
        self._distance = 0.0

    def set_reference(self, tree: Tree) -> None:
        rows = _floats(tree)
        self._deviation = 0.0 if rows is None else float((rows - rows.mean(0)).square().sum(1).mean().sqrt())

    def checks(self, step: int, tree: Tree) -> Iterator[Check]:
        rows = _floats(tree)
        if rows is None or not bool(torch.isfinite(rows).all()):
            return  # integer ids have no mean; other checks report non-finite samples
        position = rows.mean(0)
        self._start = position if self._start is None else self._start
        self._distance = max(self._distance, float((position - self._start).norm()))
        self._path.append((step, position))
        windows = [list(self._path)[::-stride][WINDOW - 1 :: -1] for stride in STRIDES]
        results = [self._check_window(window) for window in windows if len(window) == WINDOW]
        if results:
            yield next((check for check in results if check.failed), results[0])

    def _check_window(self, window: list[tuple[int, Tensor]]) -> Check:
        steps = [step for step, _ in window]
        swing = widest_swing(torch.stack([position for _, position in window]))
        is_wide = swing.amplitude > (MIN_AMPLITUDE * self._deviation or MIN_PATH_SHARE * self._distance)
        share = swing.amplitude / self._deviation if self._deviation else math.inf
        period_steps = (steps[-1] - steps[0]) / (WINDOW - 1) * swing.period
        if swing.p_value < LEVEL:
            how_often = f"with a period of about {period_steps:.0f} steps"
        else:
            how_often = f"with {swing.reversals} reversals"
        observed = (
            f"from step {steps[0]} to {steps[-1]} the mean of samples of fixed latents oscillated "
            f"{how_often}, by {share:.1f} standard deviations of the data"
        )
        return Check("oscillation", is_wide and swing.recurs, observed)


def _floats(tree: Tree) -> Tensor | None:
    """All float leaves concatenated, (rows, axes) float64; None if there is none.

    Many entries are reduced by a fixed random projection, which preserves lengths on average over projections
    (Johnson and Lindenstrauss, 1984).
    """
    parts = [
        leaf.detach().cpu().double().flatten(1) for leaf in tree_leaves(tree) if leaf.is_floating_point()
    ]
    if not parts:
        return None
    rows = torch.cat(parts, 1)
    if rows.shape[1] <= AXES:
        return rows
    bits = torch.randint(0, 2, (rows.shape[1], AXES), generator=torch.Generator().manual_seed(0))
    rademacher = 2.0 * bits.double() - 1
    return rows @ rademacher / math.sqrt(AXES)


def fisher_p(g: float, count: int) -> float:
    """P(max_j I_j / sum_j I_j > g) for white Gaussian noise with m = ``count`` ordinates I_j (Fisher, 1929).

    sum_{k=1}^{floor(1/g)} (-1)^(k-1) C(m, k) (1 - k g)^(m-1)
    """
    total = 0.0
    for k in range(1, min(count, math.floor(1 / g)) + 1):
        total += (-1) ** (k - 1) * math.comb(count, k) * max(0.0, 1 - k * g) ** (count - 1)
    return min(1.0, max(0.0, total))


def detrended(series: Tensor) -> Tensor:  # (rows, time)
    """The residuals of each row (rows, time) from its least-squares line."""
    time = torch.linspace(-1, 1, series.shape[1], dtype=series.dtype)
    basis = torch.stack([torch.ones_like(time), time])  # orthogonal: the times are symmetric about 0
    basis = basis / basis.norm(dim=1, keepdim=True)
    residual: Tensor = series - series @ basis.T @ basis
    return residual


def periodogram(series: Tensor) -> Tensor:
    """|sum_t x_t exp(-i w_j t)|^2 for the Fourier frequencies w_j = 2 pi j / n, j = 1 ... (n - 1) // 2."""
    ordinates: Tensor = torch.fft.rfft(series)[1 : (len(series) - 1) // 2 + 1].abs().square()
    return ordinates


def red_noise(series: Tensor) -> Tensor:
    """The spectrum of the AR(1) process with the lag-1 correlation r of the series, up to a factor.

    It is 1 / (1 + r^2 - 2 r cos w_j), the null hypothesis of a random drift. For a pure tone r = cos w, so
    that the spectrum at its frequency is the mean: a tone is as significant as against white noise.
    """
    length = len(series)
    r = float((series[1:] * series[:-1]).sum() / series.square().sum())
    w = 2 * math.pi * torch.arange(1, (length - 1) // 2 + 1, dtype=series.dtype) / length
    return 1 / (1 + r * r - 2 * r * w.cos())


def period_of(series: Tensor) -> tuple[float, float]:
    """The most significant period against red noise, in checks, and its p value."""
    ordinates = periodogram(series) / red_noise(series)
    g, index = float(ordinates.max() / ordinates.sum()), int(ordinates.argmax()) + 1
    return len(series) / index, fisher_p(g, len(ordinates))
