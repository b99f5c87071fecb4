"""Do generated samples differ from each other, and is a part of the data left out?"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from gancore.training.diagnosis.verdicts import Sign
from gancore.trees import Tree, leaves

COLLAPSED = 0.05  # share of the reference's diversity below which samples are as good as one
ROWS = 64  # samples compared with each other at most
NEIGHBOUR = 5  # k of the nearest real neighbours
BEYOND = 2.0  # times a generated sample's own distance from the data
LOST = 0.2  # share of held-out rows that no sample comes near
FEWEST = 32  # held-out rows and samples, below which nothing is said of a part
SURE = 4.0  # standard deviations above the share that equal distributions leave out
LOOKS = 3  # evaluations of a running median: parts come and go in games that turn, and early on


class Spread:
    """Judges samples beside rows of valid."""

    def __init__(self) -> None:
        self._diversity: list[float] | None = None
        self._rows: list[Tensor] = []
        self._shares: deque[float] = deque(maxlen=LOOKS)

    def reference(self, tree: Tree) -> None:
        """Show it real samples, so that it knows how diverse the data are."""
        self._diversity = diversity(tree)
        self._rows = [leaf.detach().cpu().flatten(1) for leaf in leaves(tree)]

    def signs_of_sameness(self, tree: Tree) -> Iterator[Sign]:
        share = alikeness(tree, self._diversity or [])
        if share is not None:
            seen = f"generated samples differ from each other {share:.1%} as much as real ones do"
            yield Sign("diversity collapse", share < COLLAPSED, seen, of="sameness")

    def signs_of_loss(self, tree: Tree) -> Iterator[Sign]:
        made = [leaf.detach().cpu().flatten(1) for leaf in leaves(tree)]
        if not self._rows or min(len(self._rows[0]), len(made[0])) < FEWEST:
            return
        shares = [lost_share(real, fake) for real, fake in zip(self._rows, made, strict=True)]
        self._shares.append(max(shares))
        if len(self._shares) < LOOKS:
            return
        share, n = statistics.median(self._shares), len(self._rows[0])
        null = left_out(n, len(made[0]), NEIGHBOUR)
        sure = share > null + SURE * math.sqrt(null * (1 - null) / n)
        seen = f"{share:.0%} of the held-out rows have no generated sample near them"
        yield Sign("diversity collapse", share > LOST and sure, seen, of="parts")


def lost_share(real: Tensor, fake: Tensor) -> float:
    """The share of real rows x_i without a generated one y_j near: min_j |x_i - y_j| > max(r_i, 2 m).

    r_i is the distance of x_i from its k-th nearest real row: alone, it gives 1 - coverage (Naeem et al.
    2020, section 3.2), which counts as lost what is merely imprecise. m, the median over j of
    min_i |y_j - x_i|, is how far samples lie from the data anyhow: a row is left out if samples are
    further from it than that by far.
    """
    among = distances(real, real).fill_diagonal_(math.inf)
    between = distances(real, fake)
    radius = among.kthvalue(NEIGHBOUR, dim=1).values
    reach = torch.clamp(radius, min=BEYOND * float(between.min(0).values.median()))
    return float((between.min(1).values > reach).float().mean())


def left_out(n: int, m: int, k: int) -> float:
    """E(1 - coverage) of n real rows by m samples of the same distribution, k-th neighbours.

    The k nearest of the m + n - 1 other rows are then all real: prod_{i<k} (n - 1 - i) / (m + n - 1 - i)
    (Naeem et al. 2020, section 3.3).
    """
    return math.prod((n - 1 - i) / (m + n - 1 - i) for i in range(k))


def diversity(tree: Tree) -> list[float]:
    """Mean distance of two rows, by leaf."""
    return [_mean_distance(leaf.detach()[:ROWS].flatten(1)) for leaf in leaves(tree)]


def alikeness(tree: Tree, real: Sequence[float]) -> float | None:
    """How much samples differ from each other, as a share of what real ones (``real``, by leaf) do.

    None: real ones do not differ. Of several leaves the largest: one may be alike in all samples by nature.
    """
    ratios = [own / other for own, other in zip(diversity(tree), real, strict=False) if other > 0]
    return max(ratios, default=None)


def _mean_distance(rows: Tensor) -> float:  # (rows, entries)
    count, entries = rows.shape
    if count < 2 or entries == 0:
        return 0.0
    return float(distances(rows, rows).sum()) / (count * (count - 1))


def distances(one: Tensor, other: Tensor) -> Tensor:
    """Between rows of (rows, entries): root mean square over entries; of ids, the share that differs."""
    if not one.is_floating_point():
        return torch.stack([(row != other).double().mean(1) for row in one])
    # By products, which is fast; in float32 that could not tell near copies apart.
    return torch.cdist(one.double(), other.double()) / math.sqrt(one.shape[1])
