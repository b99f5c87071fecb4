"""Bits per sample: likelihoods of sounds in the unit in which codecs and published models are compared."""

from __future__ import annotations

import math

from torch import Tensor

from gancore import ConfigError, Evidence, Measure
from gancore.evaluation.intervals import of_mean

BITS = 16
"""The quantisation of the data: steps of 2^-15 of full scale, which is 1."""


def bits(log_prob: Tensor, samples: int, depth: int = BITS) -> Tensor:
    """-log2 P(x) / T of T samples in steps of 2^(1 - depth), (n), from the density's log p(x) in nats, (n).

    The probability of a step is p(x) times its width for a density that is even over it:
    -log2 P(x) / T = -log p(x) / (T ln 2) + depth - 1. A model of coarser cells (8-bit mu-law) is compared so
    too, its probabilities spread evenly over each cell.
    """
    return -log_prob.double() / (samples * math.log(2)) + depth - 1


def _rows(evidence: Evidence) -> Tensor:
    if evidence.log_prob is None:
        raise ConfigError("bits of a model that gives no likelihood", "leave out bits_per_sample")
    return bits(evidence.log_prob, evidence.real.samples.shape[-1])


bits_per_sample = Measure(
    lambda evidence: float(_rows(evidence).mean()),
    unit="bits a sample at 16 bit",
    interval=lambda evidence: of_mean(_rows(evidence)),
    details=lambda evidence: {
        "likelihood": "at most this: a bound" if evidence.bound else "exact",
        "formula": "-log p / (T ln 2) + 15",
        "nats a clip": float(-evidence.log_prob.mean()) if evidence.log_prob is not None else None,
    },
    needs=frozenset({"log_prob"}),
    blind=frozenset({"collapse"}),
)
"""Of rows of the reference. To store them costs 16; silence costs a model next to nothing."""
