"""Do the samples of the same latents travel to and fro? The path of their mean, and the period in it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from gancore.training.diagnosis.spectrum import detrended, period_of
from gancore.training.diagnosis.verdicts import Sign
from gancore.trees import Tree, leaves

WINDOW = 64  # looks that are judged at once
STRIDES = (1, 2, 3)  # every look, every second, every third: at the default cadence that is the whole run
WIDE = 0.5  # amplitude as a share of the data's standard deviation, from which a swing is no wandering
LARGEST = 0.1  # the same as a share of the longest way so far, where the data are a point
KEPT = 0.7  # of the first half's swings in the second half: less is damping
CYCLES = 3  # in the window at least, so that it is no trend
LEVEL = 1e-4  # of Fisher's test
TURNS = 6  # from one side of the path to the other, where no single period stands out
AXES = 32  # to which longer samples are projected


@dataclass(frozen=True)
class Swing:
    """The widest direction of a path: ``amplitude`` (root 2 of its standard deviation about its trend),
    ``kept`` (second half beside the first), ``turns`` from beyond half the amplitude on one side to the
    other, ``period`` in looks with the probability ``p`` that red noise shows one as marked.
    """

    amplitude: float
    kept: float
    turns: int
    period: float
    p: float

    @property
    def returns(self) -> bool:
        marked = self.p < LEVEL and self.period <= WINDOW / CYCLES
        return self.kept > KEPT and (marked or self.turns >= TURNS)


def swing(path: Tensor) -> Swing:
    """Of a path, (looks, axes), float64."""
    away = detrended(path.T)  # (axes, looks)
    series = first_component(away)
    half = len(series) // 2
    early, late = (float(part.square().mean().sqrt()) for part in (series[:half], series[half:]))
    amplitude = math.sqrt(2) * float(series.square().mean().sqrt())
    if amplitude == 0:
        return Swing(0.0, 0.0, 0, math.inf, 1.0)
    kept = late / early if early else math.inf
    return Swing(amplitude, kept, _turns(series, amplitude / 2), *period_of(series))


def first_component(series: Tensor) -> Tensor:  # (axes, looks)
    """Along the direction in which the most happens: (looks,)."""
    _, scales, along = torch.linalg.svd(series, full_matrices=False)
    component: Tensor = scales[0] * along[0]
    return component


def _turns(series: Tensor, beyond: float) -> int:
    sides = [value > 0 for value in series.tolist() if abs(value) > beyond]
    return sum(one != other for one, other in pairwise(sides))


class Motion:
    """Fed with samples of the same latents, every so many rounds."""

    def __init__(self) -> None:
        self._spread = 0.0
        self._path: deque[tuple[int, Tensor]] = deque(maxlen=WINDOW * max(STRIDES))
        self._start: Tensor | None = None
        self._way = 0.0

    def reference(self, tree: Tree) -> None:
        rows = _floats(tree)
        self._spread = 0.0 if rows is None else float((rows - rows.mean(0)).square().sum(1).mean().sqrt())

    def signs(self, step: int, tree: Tree) -> Iterator[Sign]:
        rows = _floats(tree)
        if rows is None or not bool(torch.isfinite(rows).all()):
            return  # ids have no mean; what is not finite is told elsewhere
        place = rows.mean(0)
        self._start = place if self._start is None else self._start
        self._way = max(self._way, float((place - self._start).norm()))
        self._path.append((step, place))
        windows = [list(self._path)[::-stride][WINDOW - 1 :: -1] for stride in STRIDES]
        judged = [self._judged(window) for window in windows if len(window) == WINDOW]
        if judged:
            yield next((sign for sign in judged if sign.holds), judged[0])

    def _judged(self, window: list[tuple[int, Tensor]]) -> Sign:
        steps, seen = [step for step, _ in window], swing(torch.stack([place for _, place in window]))
        wide = seen.amplitude > (WIDE * self._spread or LARGEST * self._way)
        share = seen.amplitude / self._spread if self._spread else math.inf
        rounds = (steps[-1] - steps[0]) / (WINDOW - 1) * seen.period
        marked = f"once in about {rounds:.0f} rounds" if seen.p < LEVEL else f"{seen.turns} times"
        told = (
            f"from step {steps[0]} to {steps[-1]} the mean of samples of the same latents went to and fro "
            f"{marked}, by {share:.1f} standard deviations of the data"
        )
        return Sign("oscillation", wide and seen.returns, told)


def _floats(tree: Tree) -> Tensor | None:
    """All float leaves side by side, (rows, axes) in float64; of many entries a fixed random projection.

    On average over projections, lengths are kept (Johnson and Lindenstrauss 1984).
    """
    parts = [leaf.detach().cpu().double().flatten(1) for leaf in leaves(tree) if leaf.is_floating_point()]
    if not parts:
        return None
    rows = torch.cat(parts, 1)
    if rows.shape[1] <= AXES:
        return rows
    signs = torch.randint(0, 2, (rows.shape[1], AXES), generator=torch.Generator().manual_seed(0))
    return rows @ (2.0 * signs.double() - 1) / math.sqrt(AXES)
