"""Random walks on a graph, all walks of a batch at once: uniform, and biased as in node2vec."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from gancore.errors import ConfigError
from gancore.random import Key
from gancore_graph.second_order import Board, EdgeTable, uniform_pair

ROWS_AT_ONCE = 1 << 14
"""Walks that a CPU moves at once: their numbers stay in its caches."""
BIASED_ROWS_AT_ONCE = 1 << 18
MOST_DARTS = 16
"""Darts of a biased step after which the walks that hit nothing are drawn from their exact weights."""
MOST_NEIGHBOURS = 1 << 22
"""Whose weights are in memory at once."""
STRIDE = 1 << 16
"""Between the seeds of two steps of a walk, more than a step has darts."""


def _blocks(count: int, device: torch.device, rows: int = ROWS_AT_ONCE) -> Iterator[slice]:
    size = rows if device.type == "cpu" else max(1, count)
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
        self._table: EdgeTable | None = None

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
        else 1/q: exactly, by :mod:`gancore_graph.second_order`. Row i depends on ``first[i]`` and on row i of
        the key's draws.
        """
        if p == q == 1:
            return self.uniform(first, length, key)
        seeds = key.integers(2**63 - 1, len(first))
        walks = torch.empty(len(first), length, dtype=torch.int64, device=first.device)
        for rows in _blocks(len(first), first.device, BIASED_ROWS_AT_ONCE):
            steps = [first[rows].to(torch.int32)]
            for at in range(1, length):
                if at == 1:
                    steps.append(self._step(steps[0], uniform_pair(seeds[rows], 0)[0]))
                else:
                    own = seeds[rows] + at * STRIDE
                    steps.append(self._biased_step(steps[-2], steps[-1], own, p, q))
            walks[rows] = torch.stack(steps[:length], 1).long()
        return walks

    def _biased_step(self, before: Tensor, node: Tensor, seeds: Tensor, p: float, q: float) -> Tensor:
        """The next nodes, (batch) int32."""
        board, row = Board.of(p, q), self.rows.index_select(0, node).view(torch.int32).view(-1, 2)
        span, start = row[:, 0].view(torch.float32), row[:, 1]
        chosen, waiting = torch.empty_like(node), None
        for number in range(MOST_DARTS):
            column, height = uniform_pair(seeds, number)
            column *= span + board.extra
            beside = column >= span
            x = self.neighbours.index_select(0, torch.where(beside, 0, column).to(torch.int32).add_(start))
            x = torch.where(beside, before, x)
            hit, unsure = board.hits(height.mul_(board.height), x == before)
            hit |= beside
            unsure = (unsure & ~beside).nonzero()[:, 0]
            near = self.are_adjacent(before[unsure], x[unsure])
            hit[unsure] = near if board.near_hits else ~near
            if waiting is None:
                chosen = x
            else:
                chosen[waiting[hit]] = x[hit]
            left = (~hit).nonzero()[:, 0]
            waiting = left if waiting is None else waiting[left]
            if not len(left):
                return chosen
            before, node, seeds, span, start = (one[left] for one in (before, node, seeds, span, start))
        u = uniform_pair(seeds, MOST_DARTS)[0]
        chosen[waiting] = self._exact_steps(before, node, u, p, q)
        return chosen

    def are_adjacent(self, one: Tensor, other: Tensor) -> Tensor:
        """Whether pairs of nodes (batch) are edges: bool (batch)."""
        if self._table is None or self._table.device != one.device:
            ends = torch.repeat_interleave(torch.arange(self.nodes, device=one.device), self.degrees)
            others = self.neighbours.long()
            self._table = EdgeTable(ends[ends < others], others[ends < others], self.nodes)
        return self._table.are_edges(one, other)

    def _weights(self, before: Tensor, proposed: Tensor, p: float, q: float) -> Tensor:
        near = self.are_adjacent(before, proposed).to(torch.float32)
        weights = near + (1 - near) / q
        return torch.where(proposed == before, 1 / p, weights)

    def _exact_steps(self, before: Tensor, node: Tensor, u: Tensor, p: float, q: float) -> Tensor:
        """By inversion, in parts of at most MOST_NEIGHBOURS neighbours, but for one node of more."""
        ends = self.degrees[node].cumsum(0)
        parts = torch.unique_consecutive(
            torch.div(ends, MOST_NEIGHBOURS, rounding_mode="floor"), return_counts=True
        )[1].tolist()
        split = zip(*(torch.split(one, parts) for one in (before, node, u)), strict=True)
        return torch.cat([self._exact_step(t, v, own, p, q) for t, v, own in split])

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

    def nodes_with_neighbours(self) -> Tensor:
        """Where walks may start, int64."""
        return self.degrees.nonzero()[:, 0]
