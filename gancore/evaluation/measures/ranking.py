"""Ranks of scores: the area under the ROC curve, what chance does to it, and its error."""

from __future__ import annotations

import torch
from torch import Tensor


def placements(x: Tensor, y: Tensor) -> Tensor:
    """For each x (n) the share of y (m) below it, ties half; float64."""
    y = y.contiguous().sort().values
    below = torch.searchsorted(y, x.contiguous()) + torch.searchsorted(y, x.contiguous(), right=True)
    return below.double() / (2 * len(y))


def area(fake: Tensor, real: Tensor) -> float:
    """AUC = P(score of a fake > score of a real one), ties half: Mann and Whitney 1947."""
    return float(placements(fake, real).mean())


def chance_of_area(fake: Tensor, real: Tensor) -> float:
    """p value of an area above 1/2, where all scores are independent and of one law, whatever that is."""
    from scipy.stats import mannwhitneyu

    return float(mannwhitneyu(fake.numpy(), real.numpy(), alternative="greater").pvalue)


def chance_of_calls(right: int, wrong: int, n: int) -> float:
    """p value of calling ``right`` of n fakes and ``wrong`` of n real ones fake: Fisher's exact test.

    Given how many of the 2n were called fake, right is hypergeometric where labels mean nothing.
    """
    from scipy.stats import hypergeom

    return float(hypergeom.sf(right - 1, 2 * n, n, right + wrong))


def share_above(statistics: Tensor, value: float) -> float:
    """p value of a permutation test, (1 + #{draw >= value}) / (1 + draws): exact at every level."""
    return (1 + int((statistics >= value).sum())) / (1 + len(statistics))
