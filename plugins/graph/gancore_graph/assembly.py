"""From weights of pairs to a graph: every node gets an edge, the others are drawn without replacement."""

from __future__ import annotations

import torch
from torch import Tensor

from gancore.random import Key


def gumbel(count: int, key: Key) -> Tensor:
    """Standard Gumbel draws (count), float64: minus the logarithm of exponential ones."""
    waits = torch.empty(count, dtype=torch.float64, device=key.device)
    return -waits.exponential_(generator=key.generator()).log()


def assemble(pairs: Tensor, log_weights: Tensor, nodes: int, edges: int, key: Key) -> Tensor:
    """``edges`` of the ``pairs`` (count, 2), u < v and in order; all pairs, if there are no more.

    As NetGAN (Bojchevski et al. 2018, section 3.3): each node with a pair draws one of its pairs by their
    weights; then pairs are drawn one after another without replacement, by their weights, which is to take
    the largest of log weight + Gumbel noise. If the first drawing gives more than ``edges``, some of it is
    left out. Memory and time are those of sorting the pairs.
    """
    if len(pairs) <= edges:
        return pairs
    scores = log_weights.double() + gumbel(len(pairs), key / "rest")
    covering = cover(pairs, log_weights, nodes, key / "cover")
    scores[covering] += torch.inf if len(covering) <= edges else scores.max() - scores.min() + 1
    return pairs[scores.topk(edges).indices.sort().values]


def cover(pairs: Tensor, log_weights: Tensor, nodes: int, key: Key) -> Tensor:
    """The numbers of the pairs that nodes draw, each one of its own by their weights, in order, each once."""
    count = len(pairs)
    ends = torch.cat([pairs[:, 0], pairs[:, 1]])
    scores = torch.cat([log_weights, log_weights]).double() + gumbel(2 * count, key)
    best = torch.full((nodes,), -torch.inf, dtype=torch.float64, device=pairs.device)
    best = best.scatter_reduce(0, ends, scores, "amax")
    won = (scores == best[ends]) & scores.isfinite()
    return (won[:count] | won[count:]).nonzero()[:, 0]
