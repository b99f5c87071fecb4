"""NetGAN: a GAN of random walks on one graph, and graphs from the steps of the walks that it generates."""

from __future__ import annotations

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from gancore import Recipe, Spec
from gancore.data import Tree
from gancore.games import (
    AdversarialConfig,
    AdversarialGame,
    Cost,
    DiscreteGame,
    DiscreteGenerator,
    Draw,
    Identity,
    ModelSampler,
    Representation,
    Sampler,
    Schedule,
    StraightThroughGumbel,
    adversarial_game,
    exponential,
    with_defaults,
)
from gancore.random import Key
from gancore_graph.edge_models import require_one_graph
from gancore_graph.walk_models import (
    UntilOverlap,
    WalkConfig,
    WalkGraphs,
    Walks,
    shared_with_train,
)
from gancore_graph.walk_networks import WalkDiscriminator, WalkGenerator


@with_defaults(
    loss="wasserstein",
    penalty="wgan-gp",
    penalty_weight=10.0,
    discriminator_steps=3,
    batch_size=128,
    lr=3e-4,
    beta1=0.5,
    beta2=0.9,
    steps=50_000,
    embedding_dim=128,
    width=40,
    overlap=0.5,
    check_every=500,
)
class NetGanConfig(AdversarialConfig, WalkConfig):
    """The settings of the paper's code, but for ``counted_walks`` and the temperature, which changes with
    the progress of training.
    """

    latent_dim: PositiveInt = Field(16, description="latents of a walk")
    discriminator_embedding_dim: PositiveInt = Field(
        128, description="size of the discriminator's embeddings"
    )
    discriminator_width: PositiveInt = Field(30, description="units of the discriminator's LSTM")
    temperature: PositiveFloat = Field(5.0, description="of the softmax whose gradient is used, at the start")
    temperature_end: PositiveFloat = Field(
        0.5, description="of that softmax, in the last step; it changes exponentially"
    )
    generator_l2: NonNegativeFloat = Field(
        1e-7, description="weight of half the generator's squared parameters"
    )
    discriminator_l2: NonNegativeFloat = Field(
        5e-5, description="weight of half the discriminator's squared parameters"
    )


class WalkGumbel(StraightThroughGumbel):
    """Walks by straight-through Gumbel-softmax, whose samples are graphs.

    Where no gradient is needed, walks are drawn by :meth:`WalkGenerator.sample`: the same law, faster.
    """

    def __init__(self, temperature: Schedule | float, spec: Spec, counted_walks: int) -> None:
        super().__init__(temperature)
        self.spec, self.counted_walks = spec, counted_walks

    def fake(
        self, generator: DiscreteGenerator, n: int, key: Key, condition: Tree, progress: float
    ) -> Tensor:
        if torch.is_grad_enabled():
            return super().fake(generator, n, key, condition, progress)
        return generator.sample(n, key)

    def sampler(self, generator: nn.Module, representation: Representation, conditional: bool) -> Sampler:
        model = WalkGraphs(generator, self.spec, self.counted_walks)
        return ModelSampler(model, Identity(), conditional)


class NetGanGame(DiscreteGame):
    """WGAN-GP of walks, with the squares of all parameters in the costs, as in the paper's code."""

    l2 = {"generator": 0.0, "discriminator": 0.0}

    def generator_cost(self, draw: Draw) -> Cost:
        return self._with_l2(super().generator_cost(draw), "generator", draw)

    def discriminator_cost(self, draw: Draw) -> Cost:
        return self._with_l2(super().discriminator_cost(draw), "discriminator", draw)

    def _with_l2(self, cost: Cost, network: str, draw: Draw) -> Cost:
        weight = self.l2[network]
        if not weight:
            return cost
        parameters = self.get_submodule(network).parameters()
        half = torch.stack([p.square().sum() for p in parameters]).sum() / 2
        return cost.add("l2", half.expand(draw.num_rows), scale=weight)

    def overlap(self, key: Key) -> float:
        """Share of the edges of train in one sample."""
        return shared_with_train(self.sampler().sample(1, key), self.representation)


class NetGan(Recipe):
    """Bojchevski, Shchur, Zuegner and Guennemann 2018."""

    Config = NetGanConfig

    def build(self, config: NetGanConfig, spec: Spec) -> AdversarialGame:
        require_one_graph(spec, "netgan")
        nodes = int(spec["max_nodes"])
        options = config.game_options()
        options["game"] = options["game"] or NetGanGame
        dynamics = UntilOverlap(overlap=config.overlap, check_every=config.check_every)
        built = adversarial_game(
            generator=lambda: WalkGenerator(
                nodes, config.walk_length, config.embedding_dim, config.width, config.latent_dim
            ),
            discriminator=lambda: WalkDiscriminator(
                nodes, config.discriminator_embedding_dim, config.discriminator_width
            ),
            estimator=WalkGumbel(
                exponential(config.temperature, config.temperature_end), spec, config.counted_walks
            ),
            representation=Walks(spec, config.walk_length, config.return_parameter, config.in_out_parameter),
            dynamics=dynamics,
            **options,
        )
        if isinstance(built, NetGanGame):
            built.l2 = {"generator": config.generator_l2, "discriminator": config.discriminator_l2}
        return built
