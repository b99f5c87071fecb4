"""Bits per dimension: likelihoods of images in the unit in which published models are compared."""

from __future__ import annotations

import math

from torch import Tensor

from gancore import ConfigError, Evidence, Measure
from gancore.evaluation.intervals import of_mean
from gancore_image.levels import LEVELS, STEP


def bits(log_prob: Tensor, dimensions: int) -> Tensor:
    """-log2 P(v) / D of D pixels' levels, (n), from the density's log p(x) in nats, (n), of x in [-1, 1].

    The probability of a cell of width w = 1 / 127.5 in each of D dimensions is p(x) w^D for a density that is
    even over it, so -log2 P / D = -log p / (D ln 2) + log2 127.5. (An image of D dimensions has C side^2
    numbers; to store each costs 8 bits.)
    """
    return -log_prob.double() / (dimensions * math.log(2)) - math.log2(STEP)


def _rows(evidence: Evidence) -> Tensor:
    if evidence.log_prob is None:
        raise ConfigError("bits of a model that gives no likelihood", "leave out bits_per_dimension")
    return bits(evidence.log_prob, evidence.real.samples[0].numel())


bits_per_dimension = Measure(
    lambda evidence: float(_rows(evidence).mean()),
    unit=f"bits a dimension at {LEVELS.bit_length() - 1} bit",
    interval=lambda evidence: of_mean(_rows(evidence)),
    details=lambda evidence: {
        "likelihood": "at most this: a bound" if evidence.bound else "exact",
        "formula": "-log p / (D ln 2) + log2 127.5",
        "nats an image": float(-evidence.log_prob.mean()) if evidence.log_prob is not None else None,
    },
    needs=frozenset({"log_prob"}),
    blind=frozenset({"collapse"}),
)
"""Of rows of the reference. Margins of one level, as those of a padded image, cost next to nothing."""
