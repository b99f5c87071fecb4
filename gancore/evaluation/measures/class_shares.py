"""Which class do samples lack? Shares of classes by maximum likelihood, as a classifier may be wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gancore.errors import ConfigError
from gancore.evaluation.evidence import Evidence
from gancore.evaluation.intervals import subsampling
from gancore.evaluation.measure import Measure
from gancore.evaluation.measures.scores import posteriors

ROUNDS = 200
FEWEST = 8
"""Rows of a class that are to be expected in either set, that it is looked at."""
LEAST = 1e-9
SUBSET = 0.5
"""Of the rows, in the subsets that bound it: in fewer the least of the ratios is another class each time. Of
60 sets of 300 rows that a poor classifier judged, 54 and 55 intervals held (by a quarter, 51 and 54).
"""


def shares_of(p: Tensor, prior: Tensor) -> Tensor:
    """Shares w of the classes, (classes), that make rows with posteriors p (n, classes) likeliest.

    Saerens et al. 2002, equations 2.1 to 2.4 (EM): with a classifier taught at shares ``prior``, w_k <- mean
    over rows of (p_k w_k / prior_k) over their sum. What it often takes for another class counts for its own
    nevertheless, which counts of the likeliest class do not.
    """
    scaled, shares = p / prior, prior
    for _ in range(ROUNDS):
        shares = (shares * ((1 / (scaled @ shares)) @ scaled) / len(p)).clamp_min(LEAST)
    return shares / shares.sum()


def _prior(evidence: Evidence) -> Tensor:
    """Of train, which taught the classifier; all alike where the data do not tell."""
    told = evidence.spec.get("class_shares") or [1.0] * len(evidence.classes)
    prior = torch.tensor(told, dtype=torch.float64).clamp_min(LEAST)
    return prior / prior.sum()


def _looked_at(evidence: Evidence) -> Tensor:
    """Which classes, (classes) booleans. Raises ConfigError: all are too rare for so few rows."""
    n = min(len(evidence.fake), len(evidence.real))
    common = _prior(evidence) * n >= FEWEST
    if not common.any():
        raise ConfigError(
            f"{n:,} rows of {len(common):,} classes, of none {FEWEST}", "give more samples, or rows"
        )
    return common


def ratios(evidence: Evidence) -> Tensor:
    """Of each class the samples' share over that of the reference, (classes), float64."""
    prior = _prior(evidence)
    fake, real = (shares_of(posteriors(sampled), prior) for sampled in (evidence.fake, evidence.real))
    return fake / real.clamp_min(1 / len(evidence.real))


def scarcest(evidence: Evidence) -> float:
    """The least of them, at most 1."""
    common = _looked_at(evidence)
    return min(1.0, float(ratios(evidence)[common].min()))


def _details(evidence: Evidence) -> Mapping[str, Any]:
    common, found, prior = _looked_at(evidence), ratios(evidence), _prior(evidence)
    names = list(evidence.classes) or [str(number) for number in range(len(found))]
    told = {
        f"shares of {name}": dict(zip(names, shares_of(posteriors(sampled), prior).tolist(), strict=True))
        for name, sampled in (("samples", evidence.fake), ("the reference", evidence.real))
    }
    return {
        "scarcest": names[int(found.masked_fill(~common, torch.inf).argmin())],
        "classes looked at": int(common.sum()),
        **told,
    }


scarcest_class = Measure(
    compute=scarcest,
    unit="of its share",
    better="higher",
    interval=subsampling(scarcest, SUBSET, lowest=0.0),
    details=_details,
    needs=frozenset({"log_posteriors"}),
    blind=frozenset({"collapse", "noise"}),
    kind="diversity",
)
"""How much there is of the class that samples lack most, of its share in the reference. One of equal laws' is
the scarcest by chance: the more rows, the nearer to 1 is its value.
"""
