"""GraphRNN: a likelihood model of sets of small graphs."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field, PositiveInt

from gancore import Recipe, Spec
from gancore.games import LikelihoodConfig, LikelihoodGame, likelihood_game, with_defaults
from gancore.nn import Recurrent
from gancore_graph.graph_rows import BreadthFirstRows, bandwidth_of
from gancore_graph.graphrnn_networks import (
    EdgeModelName,
    GraphSequenceModel,
    IndependentEdges,
    RecurrentEdges,
)


@with_defaults(lr=3e-3, lr_end=0.03, clip_grad_norm=100.0, batch_size=32, steps=3000)
class GraphRnnConfig(LikelihoodConfig):
    """The sizes of the paper's code; the rate falls along a cosine instead of at two of 96,000 steps."""

    edge_model: EdgeModelName = Field(
        "rnn", description="edges of a node: rnn, one after another; mlp, independent (GraphRNN-S)"
    )
    embedding_dim: PositiveInt = Field(64, description="size of what the network over nodes reads of a row")
    width: PositiveInt = Field(128, description="units of the GRU over nodes")
    layers: PositiveInt = Field(4, le=32, description="layers of the GRU over nodes")
    edge_width: PositiveInt = Field(16, description="units of the GRU over edges; mlp: of the hidden layer")
    edge_layers: PositiveInt = Field(4, le=32, description="layers of the GRU over edges")

    def unused_keys(self) -> Mapping[str, str]:
        idle = {"edge_layers": "model.edge_model=rnn"} if self.edge_model == "mlp" else {}
        return {**super().unused_keys(), **idle}


class GraphRnn(Recipe):
    """You, Ying, Ren, Hamilton and Leskovec 2018."""

    Config = GraphRnnConfig

    def build(self, config: GraphRnnConfig, spec: Spec) -> LikelihoodGame:
        bandwidth = bandwidth_of(spec)

        def model() -> GraphSequenceModel:
            trunk = Recurrent(config.embedding_dim, config.width, config.layers)
            edges = (
                RecurrentEdges(config.width, bandwidth, config.edge_width, config.edge_layers)
                if config.edge_model == "rnn"
                else IndependentEdges(config.width, bandwidth, config.edge_width)
            )
            return GraphSequenceModel(int(spec["max_nodes"]), bandwidth, int(spec["max_edges"]), trunk, edges)

        return likelihood_game(model, representation=BreadthFirstRows(spec), **config.game_options())
