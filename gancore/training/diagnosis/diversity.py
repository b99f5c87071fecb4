"""Checks of diversity: whether generated samples differ, and whether a part of the data is missing."""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from gancore.training.diagnosis.checks import Check
from gancore.trees import Tree, tree_leaves

COLLAPSED = 0.05  # diversity relative to the reference below which samples count as equal
ROWS = 64  # largest number of samples that are compared with each other
NEIGHBOUR = 5  # k: the radius of a real row is the distance to its k-th nearest real row
REACH = 2.0  # smallest radius, relative to the typical distance of a sample from the data
MAX_UNCOVERED = 0.2  # largest share of held-out rows without a sample near them
MIN_ROWS = 32  # smallest number of held-out rows and of samples for this check
SIGMAS = 4.0  # standard deviations above the uncovered share of equal distributions
MEDIAN_OF = 3  # evaluations in a running median: early, and in games that rotate, coverage varies


class DiversityChecks:
    """Compares samples with rows of valid."""

    def __init__(self) -> None:
        self._diversity: list[float] | None = None
        self._rows: list[Tensor] = []
        self._shares: deque[float] = deque(maxlen=MEDIAN_OF)

    def set_reference(self, tree: Tree) -> None:
        """Set real samples, from which the diversity of the data is computed."""
        self._diversity = diversity(tree)
        self._rows = [_flat(leaf.cpu()) for leaf in tree_leaves(tree)]

    def check_sameness(self, tree: Tree) -> Iterator[Check]:
        share = relative_diversity(tree, self._diversity or [])
        if share is not None:
            observed = f"the diversity of generated samples is {share:.1%} of that of real samples"
            yield Check("diversity collapse", share < COLLAPSED, observed, part="sameness")

    def check_coverage(self, tree: Tree) -> Iterator[Check]:
        samples = [_flat(leaf.cpu()) for leaf in tree_leaves(tree)]
        if not self._rows or min(len(self._rows[0]), len(samples[0])) < MIN_ROWS:
            return
        shares = [uncovered_share(real, fake) for real, fake in zip(self._rows, samples, strict=True)]
        self._shares.append(max(shares))
        if len(self._shares) < MEDIAN_OF:
            return
        share, n = statistics.median(self._shares), len(self._rows[0])
        expected = expected_uncovered_share(n, len(samples[0]), NEIGHBOUR)
        significant = share > expected + SIGMAS * math.sqrt(expected * (1 - expected) / n)
        observed = f"{share:.0%} of the held-out rows have no generated sample near them"
        yield Check("diversity collapse", share > MAX_UNCOVERED and significant, observed, part="parts")


def uncovered_share(real: Tensor, fake: Tensor) -> float:
    """The share of real rows x_i (n, d) that no generated row y_j (m, d) covers.

    x_i is uncovered if min_j |x_i - y_j| > max(r_i, 2 s). r_i is the distance of x_i from its k-th nearest
    real row; r_i alone gives 1 - coverage (Naeem et al., 2020, section 3.2), by which rows near imprecise
    samples are uncovered, too. s, the median over j of min_i |y_j - x_i|, is the typical distance of samples
    from the data.
    """
    among = distances(real, real).fill_diagonal_(math.inf)
    between = distances(real, fake)
    radius = among.kthvalue(NEIGHBOUR, dim=1).values
    reach = torch.clamp(radius, min=REACH * float(between.min(0).values.median()))
    return float((between.min(1).values > reach).float().mean())


def expected_uncovered_share(n: int, m: int, k: int) -> float:
    """E(1 - coverage) of n real rows by m samples of the same distribution, for k-th nearest neighbours.

    It is the probability that the k nearest of the m + n - 1 other rows are all real:
    prod_{i<k} (n - 1 - i) / (m + n - 1 - i) (Naeem et al., 2020, section 3.3).
    """
    return math.prod((n - 1 - i) / (m + n - 1 - i) for i in range(k))


def diversity(tree: Tree) -> list[float]:
    """The mean distance between two rows, for each leaf."""
    return [_mean_distance(_flat(leaf[:ROWS])) for leaf in tree_leaves(tree)]


def relative_diversity(tree: Tree, real: Sequence[float]) -> float | None:
    """The diversity of samples relative to that of real rows (``real``, a number for each leaf).

    It is the largest of all leaves, because some leaves are equal in all samples by design. None if real rows
    do not differ.
    """
    ratios = [own / other for own, other in zip(diversity(tree), real, strict=False) if other > 0]
    return max(ratios, default=None)


def _flat(leaf: Tensor) -> Tensor:
    """(rows, entries), also of a leaf of one number a row."""
    return leaf.detach().flatten(1) if leaf.dim() > 1 else leaf.detach()[:, None]


def _mean_distance(rows: Tensor) -> float:  # (rows, entries)
    count, entries = rows.shape
    if count < 2 or entries == 0:
        return 0.0
    return float(distances(rows, rows).sum()) / (count * (count - 1))


def distances(one: Tensor, other: Tensor) -> Tensor:
    """Distances between the rows of (n, entries) and (m, entries), (n, m).

    For floats, the root mean square of differences; for integer ids, the share of entries that differ.
    """
    if not one.is_floating_point():
        return torch.stack([(row != other).double().mean(1) for row in one])
    # cdist uses matrix products, which are fast; in float32 they do not distinguish near copies.
    return torch.cdist(one.double(), other.double()) / math.sqrt(one.shape[1])
