"""CELL: low-rank logits of the steps of walks, by likelihood, until samples share enough edges with train."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from gancore import Recipe, Spec, View
from gancore.games import FittedGame, fitted_game
from gancore.random import Key
from gancore_graph.adam import update_rows
from gancore_graph.canonical import keys_of
from gancore_graph.cell_config import CellConfig
from gancore_graph.edge_models import PairModel, first_distinct, read_graphs, require_one_graph
from gancore_graph.large_cell import LargeCellModel

CHUNK_NUMBERS = 1 << 19
"""Logits that are in memory at once: about what caches hold."""
KEPT_NUMBERS = 1 << 24
"""Link scores up to which the sums of their rows are kept between samples: nodes squared."""
SETTLED, MOST_TURNS = 1e-5, 100
"""Change of the distribution of nodes, in total variation, that ends its iteration; and turns at most."""


@dataclass(frozen=True)
class LinkScores:
    """What a step of training leaves for samples: ``log_sums`` (nodes), log sum exp of each row of logits;
    ``occupancy`` (nodes), how often walks are at each node.
    """

    log_sums: Tensor
    occupancy: Tensor
    version: int


class CellModel(PairModel):
    """Rendsburg, Heidrich and von Luxburg 2020: P = softmax of the rows of U V, (nodes, rank), (rank, nodes).

    The cost is the cross entropy of a step of a random walk, sum_i d_i / 2E (log sum exp of row i) - mean of
    the logits of edges, whose gradient takes rows in chunks. Walks without end step over the pair i, j as
    often as S = diag(pi) P + (diag(pi) P)^T says, with pi P = pi: no walk is drawn. pi is found by iteration
    from the degrees.
    """

    one_step = False
    u: Tensor
    v: Tensor
    moments: Tensor
    """Adam's first and second moments of u and of v transposed, (4, nodes, rank)"""
    steps_taken: Tensor
    share: Tensor
    """d_i / 2E, (nodes,)"""

    def __init__(self, spec: Spec, config: CellConfig) -> None:
        super().__init__(spec)
        self.config = config
        shape = self.nodes, config.rank
        for name in ("u", "v"):  # v is stored transposed
            self.register_buffer(name, torch.zeros(shape))
        self.register_buffer("moments", torch.zeros(4, *shape))
        self.register_buffer("share", torch.zeros(self.nodes))
        self.register_buffer("steps_taken", torch.zeros((), dtype=torch.int64))
        self._scores: LinkScores | None = None
        self._kept: Tensor | None = None

    def fit(self, views: Mapping[str, View], key: Key) -> bool:
        edges = next(read_graphs(next(iter(views.values()))))[0].to(self.u.device)
        previous = int(self.steps_taken)
        if not previous:
            self._start(edges, key)
        self._adam(*self.gradient(edges))
        self.steps_taken.add_(1)
        if (previous + 1) % self.config.check_every:
            return False
        return self.overlap(edges, key.to(self.u.device) / "overlap") >= self.config.overlap

    def _start(self, edges: Tensor, key: Key) -> None:
        scale = math.sqrt(2 / (self.nodes + self.config.rank))
        for name, part in (("u", self.u), ("v", self.v)):
            part.copy_((key / name).normal(*part.shape) * scale)
        self.edge_count.fill_(len(edges))
        self.share.copy_(torch.bincount(edges.flatten(), minlength=self.nodes) / (2 * len(edges)))

    def gradient(self, edges: Tensor) -> tuple[Tensor, Tensor]:
        """Of the cost, by u and by v, (nodes, rank) each; in chunks of rows."""
        by_u, by_v = torch.empty_like(self.u), torch.zeros_like(self.v)
        for rows in self._chunks():
            logits = self.u[rows] @ self.v.T
            powers = logits.sub_(logits.amax(1, keepdim=True)).exp_()  # weights up to a factor of each row
            factor = (self.share[rows] / powers.sum(1))[:, None]
            by_u[rows] = (powers @ self.v) * factor
            by_v += powers.T @ (self.u[rows] * factor)
        one, other = torch.cat([edges, edges.flip(1)]).unbind(1)
        by_u.index_add_(0, one, self.v[other], alpha=-0.5 / len(edges))
        by_v.index_add_(0, other, self.u[one], alpha=-0.5 / len(edges))
        return by_u, by_v

    def cost(self, edges: Tensor) -> float:
        """Nats a step of a walk on train."""
        logits = (self.u[edges] * self.v[edges.flip(1)]).sum(2)
        return float((self.share * self._log_sums()).sum() - logits.mean())

    def _adam(self, *gradients: Tensor) -> None:
        config, step = self.config, int(self.steps_taken) + 1
        for number, (part, gradient) in enumerate(zip((self.u, self.v), gradients, strict=True)):
            moments = self.moments[2 * number], self.moments[2 * number + 1]
            update_rows(part, *moments, None, gradient, step, config.lr, config.weight_decay)

    def _chunks(self) -> Iterator[slice]:
        size = max(1, CHUNK_NUMBERS // self.nodes)
        return (slice(at, min(at + size, self.nodes)) for at in range(0, self.nodes, size))

    def _log_sums(self) -> Tensor:
        return torch.cat([torch.logsumexp(self.u[rows] @ self.v.T, 1) for rows in self._chunks()])

    def scores(self) -> LinkScores:
        """Of the present parameters; computed once for them."""
        version = int(self.steps_taken)
        if (
            self._scores is None
            or self._scores.version != version
            or self._scores.log_sums.device != self.u.device
        ):
            log_sums = self._log_sums()
            self._scores, self._kept = LinkScores(log_sums, self._occupancy(log_sums), version), None
        return self._scores

    def _occupancy(self, log_sums: Tensor) -> Tensor:
        """pi with pi P = pi, (nodes,), by iteration from the degrees."""

        def transitions(rows: slice) -> Tensor:
            return (self.u[rows] @ self.v.T).sub_(log_sums[rows, None]).exp_()

        whole = transitions(slice(0, self.nodes)) if self.nodes**2 <= KEPT_NUMBERS else None
        at = self.share
        for _ in range(MOST_TURNS):
            if whole is not None:
                following = at @ whole
            else:
                following = torch.zeros_like(at)
                for rows in self._chunks():
                    following += at[rows] @ transitions(rows)
            following /= following.sum()
            moved, at = float((following - at).abs().sum() / 2), following
            if moved < SETTLED:
                break
        return at

    def _rows_of_scores(self, rows: slice) -> Tensor:
        """S of these rows, (rows, nodes), without its diagonal."""
        known = self.scores()
        scales = known.occupancy.log() - known.log_sums
        there = (self.u[rows] @ self.v.T).add_(scales[rows, None]).exp_()
        there += (self.v[rows] @ self.u.T).add_(scales).exp_()
        there.diagonal(rows.start).zero_()
        return there

    def _sums(self) -> Iterator[tuple[slice, Tensor]]:
        """Cumulated rows of S, in chunks; of a graph that is not large they are kept."""
        self.scores()
        if self.nodes**2 > KEPT_NUMBERS:
            yield from ((rows, self._rows_of_scores(rows).cumsum(1)) for rows in self._chunks())
            return
        if self._kept is None:
            self._kept = torch.cat([self._rows_of_scores(rows).cumsum(1) for rows in self._chunks()])
        yield slice(0, self.nodes), self._kept

    def _draw_columns(self, rows: Tensor, u: Tensor) -> Tensor:
        """A column of each of ``rows`` (count), in order, with chances in proportion to S."""
        found = torch.empty_like(rows)
        for part, sums in self._sums():
            low, high = torch.searchsorted(
                rows, torch.tensor([part.start, part.stop], device=rows.device)
            ).tolist()
            own = rows[low:high] - part.start
            counts = torch.bincount(own, minlength=len(sums))
            most = int(counts.max()) if len(own) else 0
            if not most:
                continue
            place = torch.arange(len(own), device=own.device) - (counts.cumsum(0) - counts)[own]
            wanted = sums.new_zeros(len(sums), most)
            wanted[own, place] = u[low:high] * sums[own, -1]
            columns = torch.searchsorted(sums, wanted, right=True).clamp_(max=self.nodes - 1)
            found[low:high] = columns[own, place]
        return found

    def draw_ordered(self, count: int, key: Key) -> Tensor:
        """A row by its sum in S, then a column by S."""
        weights = torch.cat([sums[:, -1] for _, sums in self._sums()]).double().cumsum(0)
        u = (key / "row").uniform(count).double() * weights[-1]
        rows = torch.searchsorted(weights, u, right=True).clamp_(max=self.nodes - 1)
        ordered, order = rows.sort(stable=True)
        columns = torch.empty_like(rows)
        columns[order] = self._draw_columns(ordered, (key / "column").uniform(count)[order])
        return torch.stack([rows, columns], 1)

    def continue_draw(self, keys: Tensor, key: Key) -> Tensor:
        """Each node draws a pair of its own first, as in NetGAN's assembly."""
        nodes = torch.arange(self.nodes, device=self.u.device)
        own = torch.stack([nodes, self._draw_columns(nodes, (key / "cover").uniform(self.nodes))], 1)
        covering = keys_of(own[own[:, 0] != own[:, 1]], self.nodes)
        covering = covering[(key / "order").permutation(len(covering))]
        return super().continue_draw(first_distinct(torch.cat([keys, covering])), key / "rest")

    def overlap(self, edges: Tensor, key: Key) -> float:
        """Share of the edges of train in one sample."""
        drawn, _ = self.draw(key)
        return float(torch.isin(keys_of(edges, self.nodes), keys_of(drawn, self.nodes)).double().mean())

    def log_pair_prob(self, pairs: Tensor) -> Tensor:
        known = self.scores()
        log_occupancy, u, v = known.occupancy.double().log(), self.u.double(), self.v.double()
        ordered = [
            log_occupancy[i] + (u[i] * v[j]).sum(1) - known.log_sums[i].double()
            for i, j in (pairs.unbind(1), pairs.flip(1).unbind(1))
        ]
        staying = (log_occupancy + (u * v).sum(1) - known.log_sums.double()).exp().sum()
        return torch.logaddexp(ordered[0], ordered[1]) - torch.log1p(-staying)


class Cell(Recipe):
    """NetGAN's walks without a GAN and without walks: their counts' exact limit, of low rank."""

    Config = CellConfig

    def build(self, config: CellConfig, spec: Spec) -> FittedGame:
        require_one_graph(spec, "cell")
        is_large = int(spec["max_nodes"]) > config.dense_nodes
        return fitted_game(LargeCellModel(spec, config) if is_large else CellModel(spec, config))
