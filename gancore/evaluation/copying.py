"""Are samples copies of train rows? A test against rows that the model has not seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from scipy.stats import hypergeom, nhypergeom
from torch import Tensor

from gancore.evaluation.intervals import clopper_pearson

CROWD = 50
"""Neighbours whose distances say what is near, about a sample."""
FEWEST = 3
"""Rows of train: the nearest, the next, and one that says how far apart such rows are."""
EQUAL = 1e-5
"""Of the farthest of the neighbours' distances: less is rounding."""
LEVEL = 0.01
"""Share of held-out rows that are as near."""
ALARM = 0.01
TWINS_SHOWN = 3


@dataclass(frozen=True)
class Copying:
    """``near`` of ``n`` samples are as near to a train row as the nearest ``level`` of ``held_out`` rows are.

    ``threshold`` is of :func:`gap`. ``chance``: of as many or more, where samples are like held-out rows.
    ``nearer``: the share of samples whose plain distance is below that of as many held-out rows; smooth
    samples are near, copies or not, so it decides nothing. ``equal``: held-out rows that stand in train.
    ``why_not``: nothing can be told. ``twins``: held-out rows that stand in train too, each with its row
    there, where the data name rows.
    """

    n: int
    held_out: int
    level: float = math.nan
    threshold: float = math.nan
    near: int = 0
    chance: float = math.nan
    nearer: float = math.nan
    equal: int = 0
    why_not: str = ""
    twins: Sequence[tuple[str, str]] = ()

    @property
    def sign(self) -> bool | None:
        """Whether there is a sign of copies; None: nothing can be told."""
        return None if self.why_not else self.chance < ALARM

    def told(self) -> str:
        """One line for people."""
        if self.why_not:
            return f"whether samples are copies cannot be told: {self.why_not}{self._twins()}"
        low, high, _ = clopper_pearson(self.near, self.n)
        return (
            f"{'a sign of copies' if self.sign else 'no sign of copies'}: {self.near} of {self.n} samples "
            f"(95 % interval: {low:.0%} to {high:.0%}) are unusually near to one train row, against "
            f"{self.level:.1%} of {self.held_out:,} held-out rows; p = {self.chance:.2g}"
        )

    def _twins(self) -> str:
        """The first few pairs of equal rows, and what to do about them."""
        if not self.twins:
            return ""
        shown = "; ".join(f"{held_out} is {train}" for held_out, train in self.twins[:TWINS_SHOWN])
        more = len(self.twins) - TWINS_SHOWN
        rest = f"; and {more:,} more" if more > 0 else ""
        return f" ({shown}{rest}). Remove one of each pair, and train again"


def gap(distances: Tensor) -> Tensor:
    """How much nearer the nearest row of train is than the others let expect, (n): infinite at an equal one.

    Of distances (n, J) to the nearest train rows, ascending: log(d_2 / d_1) over the mean of
    j log(d_{j+1} / d_j), j = 2 to J - 1. Where rows lie about a sample with a density in D dimensions, all
    of j log(d_{j+1} / d_j) are exponential with the mean 1 / D, whatever D and the density are (Renyi 1953,
    Levina and Bickel 2005), so that the ratio has one law for all samples, in the middle of the data and at
    their border. The nearest over the mean of the nearest 50 (Carlini et al. 2023) has not: it calls samples
    copies that shrink towards the mean, where there are many dimensions.

    Distances that are equal but for rounding are those of equal rows of train, and count as one.
    """
    nearest, rounding = distances[:, 0], EQUAL * distances[:, -1]
    others = distances.masked_fill(distances <= (nearest + rounding).unsqueeze(1), math.inf).amin(1)
    steps = distances.clamp_min(1e-300).log().diff(dim=1)[:, 1:]
    scale = (steps * torch.arange(2, distances.shape[1])).mean(1)
    found = (others / nearest.clamp_min(1e-300)).log() / scale.clamp_min(1e-300)
    found = torch.where(others.isinf(), 0.0, found)
    return torch.where(nearest <= rounding, math.inf, found)


def judge(fake: Tensor, held_out: Tensor, rows: Tensor) -> Copying:
    """From distances to the nearest train rows, ascending: of samples (n, J) and of held-out rows (m, J).

    The threshold t is the q-th largest gap of the held-out rows, q = 1 % of m + 1. If samples were such rows
    too, the number of them above t would be negative hypergeometric, whatever the law of gaps: that they
    precede the q-th of the others is a matter of order alone. Where so many held-out rows are equal to train
    rows that t is infinite, samples that are equal to one are counted beside them (Fisher's exact test).

    ``rows`` (n): the nearest train row of each sample. In many dimensions a few rows are the nearest of many
    samples, above all of such as shrink towards the mean; those samples are near together or not at all. So
    the test counts n / D samples of which near / D are near, D being how many near ones share their row with
    one of them on average, itself included.
    """
    n, m = len(fake), len(held_out)
    if not m or fake.shape[1] < FEWEST:
        missing = "there are no held-out rows" if not m else f"train has fewer than {FEWEST} rows"
        return Copying(n, m, why_not=missing)
    q = max(1, math.floor(LEVEL * (m + 1)))
    ours, theirs = gap(fake), gap(held_out)
    t, plain = float(theirs.sort().values[-q]), float(held_out[:, 0].sort().values[q - 1])
    equal = int(theirs.isinf().sum())
    hits = ours.isinf() if math.isinf(t) else ours > t
    near, nearer = int(hits.sum()), float((fake[:, 0] < plain).double().mean())
    shared = torch.unique(rows[hits], return_counts=True)[1].double()
    together = float(shared.square().sum() / shared.sum()) if near else 1.0
    trials, counted = max(1, round(n / together)), math.ceil(near / together)
    if math.isinf(t):
        chance = float(hypergeom.sf(counted - 1, trials + m, counted + equal, trials))
        why_not = f"{equal:,} of {m:,} held-out rows stand in train themselves"
        return Copying(n, m, equal / m, t, near, chance, nearer, equal, why_not)
    chance = float(nhypergeom.sf(counted - 1, trials + m, trials, q))
    return Copying(n, m, q / (m + 1), t, near, chance, nearer, equal)
