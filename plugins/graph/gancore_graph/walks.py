"""Random walks on a graph, all walks of a batch at once: uniform, and biased as in node2vec."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from gancore.errors import ConfigError
from gancore.random import Key

ROWS_AT_ONCE = 1 << 14
"""Walks that a CPU moves at once: their numbers stay in its caches."""
MOST_PROPOSALS = 64
"""Proposals of a biased step after which the walks that accepted none are drawn from their exact weights."""


def _blocks(count: int, device: torch.device) -> Iterator[slice]:
    size = ROWS_AT_ONCE if device.type == "cpu" else max(1, count)
    return (slice(start, start + size) for start in range(0, count, size))


class Walker(nn.Module):
    """Walks on an undirected graph, given by its edges (count, 2) and its number of nodes.

    The graph is in buffers that are not stored: ``starts`` (nodes + 1) and ``neighbours`` (2 x edges), the
    rows of its adjacency matrix, in order. Walks start at nodes with a neighbour.
    """

    starts: Tensor
    degrees: Tensor
    neighbours: Tensor
    rows: Tensor
    """(nodes,) int64, each of two words, so that memory is read once: float32, a little less than the degree
    (its product with u < 1 is never rounded up to it), and int32, the start."""

    def __init__(self, edges: Tensor, nodes: int) -> None:
        super().__init__()
        ends = torch.cat([edges, edges.flip(1)])
        ends = ends[(ends[:, 0] * nodes + ends[:, 1]).argsort()]
        counts = torch.bincount(ends[:, 0], minlength=nodes)
        if len(ends) >= 2**31:
            raise ConfigError(f"{len(edges):,} edges are too many for walks", "give at most 1,073,741,823")
        starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        self.nodes = nodes
        self.register_buffer("starts", starts.to(torch.int32), persistent=False)
        self.register_buffer("degrees", counts, persistent=False)
        spans = counts.to(torch.float32) * (1 - 2**-22)
        words = torch.stack([spans.view(torch.int32), starts[:-1].to(torch.int32)], 1)
        self.register_buffer("rows", words.view(torch.int64)[:, 0].contiguous(), persistent=False)
        self.register_buffer("neighbours", ends[:, 1].to(torch.int32), persistent=False)

    def uniform(self, first: Tensor, length: int, key: Key) -> Tensor:
        """Walks (batch, length) int64 from the nodes ``first`` (batch): all neighbours are equally likely.

        Row i depends on ``first[i]`` and on row i of the key's draws.
        """
        draws = key.uniform(len(first), length - 1)
        walks = torch.empty(len(first), length, dtype=torch.int64, device=first.device)
        walks[:, 0] = first
        for rows in _blocks(len(first), first.device):
            by_step = draws[rows].T.contiguous()
            steps = torch.empty(len(by_step) + 1, by_step.shape[1], dtype=torch.int32, device=first.device)
            steps[0] = first[rows]
            for at, u in enumerate(by_step):
                steps[at + 1] = self._step(steps[at], u)
            walks[rows] = steps.T
        return walks

    def _step(self, node: Tensor, u: Tensor) -> Tensor:
        """A uniform neighbour of each node, (batch) int32."""
        row = self.rows.index_select(0, node).view(torch.int32).view(-1, 2)
        span, start = row[:, 0].view(torch.float32), row[:, 1]
        return self.neighbours.index_select(0, (span * u).to(torch.int32).add_(start))

    def biased(self, first: Tensor, length: int, key: Key, p: float, q: float) -> Tensor:
        """Walks of second order (Grover and Leskovec 2016, section 3.2.2), (batch, length) int64.

        From t over v the next node x, a neighbour of v, has weight 1/p if x is t, 1 if x is a neighbour of t,
        else 1/q. A uniform proposal is accepted with its weight over the largest one.
        """
        if p == q == 1:
            return self.uniform(first, length, key)
        walks = [first.to(torch.int32)]
        walks.append(self._step(walks[0], (key / 0).uniform(len(first))))
        for at in range(2, length):
            walks.append(self._biased_step(walks[-2], walks[-1], key / at, p, q))
        return torch.stack(walks[:length], 1).long()

    def _biased_step(self, before: Tensor, node: Tensor, key: Key, p: float, q: float) -> Tensor:
        chosen, waiting = torch.empty_like(node), torch.arange(len(node), device=node.device)
        most = max(1.0, 1 / p, 1 / q)
        for number in range(MOST_PROPOSALS):
            u, accept = (key / number).uniform(len(node), 2)[waiting].unbind(1)
            proposed = self._step(node[waiting], u)
            accepted = accept * most < self._weights(before[waiting], proposed, p, q)
            chosen[waiting[accepted]] = proposed[accepted]
            waiting = waiting[~accepted]
            if not len(waiting):
                return chosen
        u = (key / "exact").uniform(len(node))[waiting]
        chosen[waiting] = self._exact_step(before[waiting], node[waiting], u, p, q)
        return chosen

    def _weights(self, before: Tensor, proposed: Tensor, p: float, q: float) -> Tensor:
        near = self.are_adjacent(before, proposed).to(torch.float32)
        weights = near + (1 - near) / q
        return torch.where(proposed == before, 1 / p, weights)

    def _exact_step(self, before: Tensor, node: Tensor, u: Tensor, p: float, q: float) -> Tensor:
        """By inversion of the cumulated weights of all neighbours; memory is the sum of the degrees."""
        start, count = self.starts[node].long(), self.degrees[node]
        row = torch.repeat_interleave(torch.arange(len(node), device=node.device), count)
        offset = torch.arange(len(row), device=node.device) - (count.cumsum(0) - count)[row]
        options = self.neighbours[start[row] + offset]
        summed = self._weights(before[row], options, p, q).double().cumsum(0)
        ends = count.cumsum(0) - 1
        low = torch.cat([summed.new_zeros(1), summed[ends[:-1]]])
        at = torch.searchsorted(summed, low + u * (summed[ends] - low), right=True)
        return options[torch.minimum(torch.maximum(at, ends - count + 1), ends)]

    def are_adjacent(self, one: Tensor, other: Tensor) -> Tensor:
        """Whether pairs of nodes (batch) are edges, by bisection in the rows of the matrix: bool (batch)."""
        low, high = self.starts[one].long(), self.starts[one + 1].long()
        end, last = high, len(self.neighbours) - 1
        for _ in range(int(self.degrees.max()).bit_length()):
            middle = torch.div(low + high, 2, rounding_mode="floor")
            below = (self.neighbours[middle.clamp(max=last)] < other) & (low < high)
            low, high = torch.where(below, middle + 1, low), torch.where(below, high, middle)
        return (low < end) & (self.neighbours[low.clamp(max=last)] == other)

    def nodes_with_neighbours(self) -> Tensor:
        """Where walks may start, int64."""
        return self.degrees.nonzero()[:, 0]
