"""What an unknown token costs: the probability of its spelling, byte by byte."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

BYTES = 256
EDGE = BYTES
"""The symbol before the first and after the last byte."""
SMOOTHING = 1.0


def spelling_log_probs(counts: Mapping[str, int]) -> Tensor:
    """log P(byte | byte before it) of the spellings of these tokens, in nats, (257, 257), float32.

    Both axes are the bytes, then EDGE. With c the counts of pairs and P1 the frequencies of bytes with one
    added to each, P(b | a) = (c(a, b) + P1(b)) / (c(a) + 1): every spelling has a probability, and the sum
    over all of them is at most 1.
    """
    pairs = torch.zeros(BYTES + 1, BYTES + 1, dtype=torch.float64)
    for token, count in counts.items():
        symbols = torch.tensor([EDGE, *token.encode(), EDGE])
        pairs.index_put_((symbols[:-1], symbols[1:]), torch.tensor(float(count), dtype=torch.float64), True)
    single = pairs.sum(0) + SMOOTHING
    smoothed = (pairs + single / single.sum()) / (pairs.sum(1, keepdim=True) + 1)
    return smoothed.log().float()


def spelling_log_prob(token: str, log_probs: Tensor) -> float:
    """log P(spelling) of one token, in nats."""
    symbols = torch.tensor([EDGE, *token.encode(), EDGE])
    return float(log_probs[symbols[:-1], symbols[1:]].sum())
