"""Models of random walks, and graphs from the steps of the walks that they generate."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from gancore import Batch, Recipe, RecipeConfig, Spec, View
from gancore.data import Tree, digest_tensors
from gancore.games import (
    Adam,
    Alternating,
    Game,
    Identity,
    LikelihoodGame,
    ModelSampler,
    Move,
    Phase,
    Representation,
    Sampler,
    TrainingStep,
    cosine,
    likelihood_game,
    noise,
)
from gancore.nn import Recurrent, SequenceGenerator
from gancore.random import Key
from gancore_graph.assembly import assemble
from gancore_graph.canonical import GraphTensors, keys_of, to_tensors
from gancore_graph.counts import PairCounts
from gancore_graph.edge_models import PairModel, read_graphs, require_one_graph
from gancore_graph.walks import Walker

WALKS_AT_ONCE = 512


class WalkConfig(RecipeConfig):
    """A language model of walks on the training graph; of a batch each row is a new walk."""

    batch_size: PositiveInt = Field(128, description="walks per global batch")
    steps: PositiveInt = Field(2000, description="steps, when the command gives no budget")
    walk_length: int = Field(16, ge=2, le=1024, description="nodes of a walk")
    return_parameter: PositiveFloat = Field(1.0, description="p of node2vec: going back has weight 1/p")
    in_out_parameter: PositiveFloat = Field(1.0, description="q of node2vec: going away has weight 1/q")
    embedding_dim: PositiveInt = Field(64, description="size of the embeddings of nodes")
    width: PositiveInt = Field(64, description="units of the LSTM")
    lr: PositiveFloat = Field(1e-2, description="Adam's learning rate at the start; it falls to a hundredth")
    clip_grad_norm: PositiveFloat = Field(5.0, description="maximal gradient norm, in nats per walk")
    ema_halflife: NonNegativeFloat = Field(0.0, description="half-life of the EMA, in walks; 0: no EMA")
    counted_walks: PositiveInt = Field(50_000, description="generated walks whose steps make graphs")
    overlap: PositiveFloat = Field(
        1.0, le=1, description="training ends when a sample shares this many of train's edges; 1: it does not"
    )
    check_every: PositiveInt = Field(200, description="steps between two looks at the overlap")


class Walks(Representation):
    """Walks on the graph of train, (rows, length), in place of each row, which is that graph.

    Walks start at any node with an edge, as NetGAN's do. Encoding draws from the noise of the batch.
    """

    many_to_one = True
    data_shaped = ("edges",)
    edges: Tensor

    def __init__(self, spec: Spec, length: int, p: float = 1.0, q: float = 1.0) -> None:
        super().__init__()
        self.nodes, self.max_edges = int(spec["max_nodes"]), int(spec["max_edges"])
        self.length, self.p, self.q = length, p, q
        self.register_buffer("edges", torch.zeros(0, 2, dtype=torch.int64))
        self._walker: tuple[Tensor, Walker] | None = None

    def fit(self, train: View) -> None:
        self.edges = next(read_graphs(train))[0].to(self.edges.device)

    @property
    def walker(self) -> Walker:
        """Of the present edges."""
        if self._walker is None or self._walker[0] is not self.edges:
            self._walker = self.edges, Walker(self.edges, self.nodes)
        return self._walker[1]

    def encode(self, batch: Batch) -> Batch:
        count, drawn = len(batch), noise(len(batch), self.edges.device)
        starts = self.walker.nodes_with_neighbours()
        at = (drawn.uniform(count) * len(starts)).long().clamp_(max=len(starts) - 1)
        key = (drawn.key / "walk").with_rows(drawn.rows)
        return Batch(self.walker.biased(starts[at], self.length, key, self.p, self.q), batch.condition)

    def decode(self, outputs: Tree) -> Tree:
        """Graphs unchanged; a walk becomes the graph of its steps."""
        if not isinstance(outputs, Tensor):
            return outputs
        empty = PairCounts.empty(self.nodes, outputs.device)
        graphs = [(empty.add_walks(walk[None]).pairs[: self.max_edges], self.nodes) for walk in outputs]
        return to_tensors(graphs, self.max_edges)


class StepLaw(PairModel):
    """The law of the pair that a walk steps over, from counts: (count + 1/2) / (their sum + half the number
    of pairs), the estimate of Krichevsky and Trofimov 1981. Pairs are in the order of their counts.
    """

    def __init__(self, spec: Spec, counts: PairCounts) -> None:
        super().__init__(spec)
        self.counts = counts

    def log_pair_prob(self, pairs: Tensor) -> Tensor:
        every = self.nodes * (self.nodes - 1) // 2
        total = float(self.counts.counts.sum()) + every / 2
        return (self.counts.of_pairs(pairs).double() + 0.5).log() - math.log(total)


class WalkGraphs(nn.Module):
    """Graphs of generated walks, with a likelihood of edges by :class:`StepLaw`.

    The steps of ``counted_walks`` walks are counted once for the present parameters; each graph is assembled
    from the counts by a key of its own.
    """

    preferred_batch = 1
    lower_bound = True
    counts_key = Key.of("counted walks")

    def __init__(self, generator: nn.Module, spec: Spec, counted_walks: int) -> None:
        super().__init__()
        self.generator: Any = generator
        self.spec, self.counted_walks = spec, counted_walks
        self.max_edges = int(spec["max_edges"])
        self.edge_count: Tensor
        self.register_buffer("edge_count", torch.tensor(int(spec["train_edges"])))
        self._counts: tuple[str, PairCounts] | None = None

    def log_prob(self, data: GraphTensors) -> Tensor:
        """Nats of graphs, (batch,), float64: as those of :class:`PairModel`."""
        return StepLaw(self.spec, self.counts()).log_prob(data)

    @torch.no_grad()
    def counts(self) -> PairCounts:
        """Of the steps of generated walks; a function of the parameters alone."""
        digest = digest_tensors(tuple(self.generator.parameters()))
        if self._counts is None or self._counts[0] != digest:
            device = self.edge_count.device
            counted = PairCounts.empty(int(self.spec["max_nodes"]), device)
            for start in range(0, self.counted_walks, WALKS_AT_ONCE):
                count = min(WALKS_AT_ONCE, self.counted_walks - start)
                key = (self.counts_key / start).to(device)
                counted = counted.add_walks(self.generator.sample(count, key))
            self._counts = digest, counted
        return self._counts[1]

    def sample(self, n: int, key: Key) -> GraphTensors:
        counted = self.counts()
        weights, wanted = counted.counts.double().log(), int(self.edge_count)
        pairs, nodes = counted.pairs, counted.nodes
        made = [(assemble(pairs, weights, nodes, wanted, own), nodes) for own in key.each(n)]
        return to_tensors(made, self.max_edges)


def shared_with_train(sample: GraphTensors, representation: Any) -> float:
    """Share of the edges of train, which :class:`Walks` holds, in the first graph of a sample."""
    nodes = representation.nodes
    drawn, own = (keys_of(edges, nodes) for edges in (sample["edges"][0], representation.edges))
    return float(torch.isin(own, drawn).double().mean())


@runtime_checkable
class SharesEdges(Protocol):
    """A game that knows how many edges of train its samples have."""

    def overlap(self, key: Key) -> float: ...


class WalkGame(LikelihoodGame):
    """Maximum likelihood of walks, until samples share enough edges with train."""

    graphs: Callable[[nn.Module], WalkGraphs]

    def sampler(self) -> Sampler:
        return ModelSampler(self.graphs(self.averaged(self.model)), Identity(), self.conditional)

    def overlap(self, key: Key) -> float:
        """Share of the edges of train in one sample."""
        return shared_with_train(self.sampler().sample(1, key), self.representation)


@dataclass(frozen=True)
class UntilOverlap(Alternating):
    """Alternating moves, until a sample of the game has the ``overlap``."""

    may_end_early: ClassVar[bool] = True
    overlap: float = 1.0
    check_every: int = 200

    def play(self, step: TrainingStep) -> bool | None:
        super().play(step)
        game = step.game
        if (step.number + 1) % self.check_every or self.overlap >= 1 or not isinstance(game, SharesEdges):
            return None
        key = step.setup.batches.key.with_rows(None) / step.number / "overlap"
        return game.overlap(key) >= self.overlap


class WalkLanguageModel(Recipe):
    """An LSTM of walks by maximum likelihood: NetGAN's twin without a discriminator."""

    Config = WalkConfig

    def build(self, config: WalkConfig, spec: Spec) -> Game:
        require_one_graph(spec, "walk-lm")

        def model() -> SequenceGenerator:
            trunk = Recurrent(config.embedding_dim, config.width, cell="lstm")
            return SequenceGenerator(trunk, int(spec["max_nodes"]), config.walk_length)

        dynamics = UntilOverlap(overlap=config.overlap, check_every=config.check_every)
        built = likelihood_game(
            model,
            optimizer=Adam(cosine(config.lr, config.lr / 100), (0.9, 0.99)),
            ema_halflife=config.ema_halflife or None,
            clip_grad_norm=config.clip_grad_norm,
            representation=Walks(spec, config.walk_length, config.return_parameter, config.in_out_parameter),
            phases=[Phase([Move("model")], dynamics=dynamics, name="likelihood")],
            game=WalkGame,
        )
        assert isinstance(built, WalkGame)
        built.graphs = partial(WalkGraphs, spec=spec, counted_walks=config.counted_walks)
        return built
