"""A GAN of sets of small graphs: all edges at once, by points of nodes, against a graph network."""

from __future__ import annotations

import torch
from pydantic import Field, PositiveFloat, PositiveInt

from gancore import Batch, Recipe, Spec
from gancore.errors import ConfigError
from gancore.games import (
    AdversarialConfig,
    AdversarialGame,
    HostStep,
    Representation,
    adversarial_game,
    normal,
    with_defaults,
)
from gancore_graph.canonical import GraphTensors
from gancore_graph.dense import dense_adjacency, edges_of_dense
from gancore_graph.dense_networks import DenseTensors, GeometricGenerator, GraphCritic, latent_sizes

MOST_NODES = 1000
"""Nodes of the largest graph: every pair of nodes is in memory, several times."""


class DenseGraphs(Representation):
    """Dense graphs, of the size of the largest of the data."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.size, self.max_edges = int(spec["max_nodes"]), int(spec["max_edges"])

    def encode(self, batch: Batch) -> Batch:
        counts = batch.data["nodes"]
        present = torch.arange(self.size, device=counts.device) < counts[:, None]
        adjacency = dense_adjacency(batch.data, self.size)
        return Batch({"adjacency": adjacency.float(), "present": present.float()}, batch.condition)

    def decode(self, outputs: DenseTensors) -> GraphTensors:
        dense = self.decode_tensors(outputs)
        return edges_of_dense(dense["adjacency"] > 0, dense["nodes"], self.max_edges)

    def decode_tensors(self, outputs: DenseTensors) -> DenseTensors:
        """``adjacency`` (n, nodes, nodes), 0 or 1, and the number of ``nodes`` (n), int64."""
        counts = outputs["present"].sum(1).round().long()
        return {"adjacency": (outputs["adjacency"] > 0.5).long(), "nodes": counts}

    def host_step(self) -> HostStep:
        return HostStep("the edges of each adjacency matrix, among its first nodes")


@with_defaults(
    loss="wasserstein",
    penalty="wgan-gp",
    penalty_weight=10.0,
    discriminator_steps=2,
    lr=1e-3,
    beta1=0.5,
    beta2=0.9,
    batch_size=16,
    steps=5000,
    ema_halflife=1000.0,
)
class GgGanConfig(AdversarialConfig):
    """WGAN-GP, as MolGAN (De Cao and Kipf 2018)."""

    width: PositiveInt = Field(32, description="numbers of a node in the generator; a multiple of 4")
    blocks: PositiveInt = Field(2, le=32, description="attention blocks of the generator")
    node_latents: PositiveInt = Field(8, description="latents of a node")
    graph_latents: PositiveInt = Field(8, description="latents of the whole graph")
    dimensions: PositiveInt = Field(3, le=64, description="dimensions of the points of the nodes")
    temperature: PositiveFloat = Field(3.0, description="of the sigmoid whose gradient an edge has")
    discriminator_width: PositiveInt = Field(32, description="numbers of a node in the critic")
    rounds: PositiveInt = Field(2, le=32, description="rounds of messages in the critic")


class GgGan(Recipe):
    """After GG-GAN (Krawczuk, Abranches, Loukas and Cevher 2021)."""

    Config = GgGanConfig

    def build(self, config: GgGanConfig, spec: Spec) -> AdversarialGame:
        if spec["max_nodes"] > MOST_NODES:
            raise ConfigError(
                f"gg-gan is of graphs of at most {MOST_NODES:,} nodes, and train has {spec['max_nodes']:,}",
                "take model configuration, or netgan for one graph",
            )
        if config.width % 4:
            raise ConfigError(f"model.width={config.width} is no multiple of 4", "set model.width=64")

        def generator() -> GeometricGenerator:
            return GeometricGenerator(
                spec,
                config.width,
                config.blocks,
                config.node_latents,
                config.graph_latents,
                config.dimensions,
                config.temperature,
            )

        latents = latent_sizes(int(spec["max_nodes"]), config.node_latents, config.graph_latents)
        return adversarial_game(
            generator=generator,
            discriminator=lambda: GraphCritic(spec, config.discriminator_width, config.rounds),
            prior=normal(sum(latents)),
            representation=DenseGraphs(spec),
            **config.game_options(),
        )
