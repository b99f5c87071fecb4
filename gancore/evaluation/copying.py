"""Are samples copies of train rows? A test against rows that the model has not seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from scipy.stats import nhypergeom
from torch import Tensor

from gancore.evaluation.intervals import clopper_pearson

CROWD = 50
"""Neighbours whose mean distance is the measure of what near is, about a sample (Carlini et al. 2023)."""
LEVEL = 0.01
"""Share of held-out rows that are as near. A larger one takes in what only smooth samples reach."""
ALARM = 0.01
TWINS_SHOWN = 3


@dataclass(frozen=True)
class Copying:
    """``near`` of ``n`` samples are as near to a train row as the nearest ``level`` of ``held_out`` rows are.

    ``threshold`` is of :func:`isolation`. ``chance``: of as many or more, where samples are like held-out
    rows. ``nearer``: the share of samples whose plain distance is below that of as many held-out rows;
    smooth samples are near, copies or not, so it decides nothing. ``why_not``: nothing can be told.
    ``twins``: held-out rows that stand in train too, each with its row there, where the data name rows.
    """

    n: int
    held_out: int
    level: float = math.nan
    threshold: float = math.nan
    near: int = 0
    chance: float = math.nan
    nearer: float = math.nan
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


def isolation(distances: Tensor) -> Tensor:
    """r(x) = d_1(x) / mean_j d_j(x), of the distances (n, J) to the nearest train rows: 0 at a copy, (n).

    Carlini et al. 2023, "Extracting training data from diffusion models", the distance of section 5, without
    its constant. A blurred sample is near to everything; r compares what is nearest with what else is near.
    """
    mean = distances.mean(1)
    return torch.where(mean > 0, distances[:, 0] / mean.clamp_min(1e-300), 0.0)


def judge(fake: Tensor, held_out: Tensor) -> Copying:
    """From distances to the nearest train rows, ascending: of samples (n, J) and of held-out rows (m, J).

    The threshold t is the q-th smallest r of the held-out rows, q = 1 % of m + 1. If samples were such rows
    too, the number of them below t would be negative hypergeometric, whatever the law of r: that they
    precede the q-th of the others is a matter of order alone.
    """
    n, m = len(fake), len(held_out)
    if not m or fake.shape[1] < 2:
        return Copying(n, m, why_not="there are no held-out rows" if not m else "train has a single row")
    q = max(1, math.floor(LEVEL * (m + 1)))
    t, plain = (float(values.sort().values[q - 1]) for values in (isolation(held_out), held_out[:, 0]))
    if t == 0:
        count = int((isolation(held_out) == 0).sum())
        return Copying(n, m, why_not=f"{count} of {m:,} held-out rows stand in train themselves")
    near = int((isolation(fake) < t).sum())
    chance = float(nhypergeom.sf(near - 1, n + m, n, q))
    nearer = float((fake[:, 0] < plain).double().mean())
    return Copying(n, m, q / (m + 1), t, near, chance, nearer)
