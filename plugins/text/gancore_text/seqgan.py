"""SeqGAN (Yu et al. 2017): REINFORCE after pretraining, with the mean reward of texts that are sampled on."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from gancore import Recipe, Spec
from gancore.games import Game, TokenDiscriminator, adversarial_game, with_defaults
from gancore.nn import Dropout
from gancore_text.policy_gradient import PolicyGradientConfig, lstm_generator, weight_penalty
from gancore_text.representation import TokenIds

FILTERS = {1: 100, 2: 200, 3: 200, 4: 200, 5: 200, 6: 100, 7: 100, 8: 100, 9: 100, 10: 100, 15: 160, 20: 160}
"""Feature maps by kernel width, of the published code."""


class ConvolutionalDiscriminator(TokenDiscriminator):
    """One logit a text: convolutions of several widths, the maximum over time, a highway layer, dropout.

    Kernels wider than the text are left out. ``share``: of FILTERS.
    """

    def __init__(
        self, vocab_size: int, length: int, embedding_dim: int, share: float, dropout: float
    ) -> None:
        super().__init__(vocab_size, embedding_dim)
        nn.init.uniform_(self.embedding, -1, 1)
        widths = {width: max(1, round(share * maps)) for width, maps in FILTERS.items() if width <= length}
        self.convolutions = nn.ModuleList(
            nn.Conv1d(embedding_dim, maps, width) for width, maps in widths.items()
        )
        size = sum(widths.values())
        self.highway, self.gate = nn.Linear(size, size), nn.Linear(size, size)
        nn.init.constant_(self.gate.bias, -2.0)  # at first it lets its inputs pass
        self.dropout, self.head = Dropout(dropout), nn.Linear(size, 1)

    def logits(self, embedded: Tensor, condition: object = None) -> Tensor:
        channels = embedded.transpose(1, 2)
        found = torch.cat([layer(channels).relu().amax(2) for layer in self.convolutions], 1)
        open_share = self.gate(found).sigmoid()
        found = open_share * self.highway(found).relu() + (1 - open_share) * found
        logits: Tensor = self.head(self.dropout(found))[:, 0]
        return logits


@with_defaults(
    penalty="none",
    embedding_dim=32,
    width=32,
    lr=1e-2,
    discriminator_lr=1e-4,
    discriminator_steps=5,
    beta1=0.9,
    beta2=0.999,
    clip_grad_norm=5.0,
    baseline="position",
    pretraining=0.4,
    pretraining_lr=1e-2,
    discriminator_pretraining=0.2,
    steps=1000,
)
class SeqGANConfig(PolicyGradientConfig):
    """Networks and rates as published; what is repaired: docs/text-reinforce.md."""

    rollouts: PositiveInt = Field(
        16, description="texts sampled on from each prefix; the time of a generator's move is proportional"
    )
    discriminator_embedding: PositiveInt = Field(64, description="size of the discriminator's embeddings")
    discriminator_filters: PositiveFloat = Field(
        1.0, le=4, description="feature maps of the discriminator, as a share of the published 1,720"
    )
    discriminator_dropout: NonNegativeFloat = Field(
        0.25, lt=1, description="share of the discriminator's features that are zero"
    )
    discriminator_l2: NonNegativeFloat = Field(0.1, description="times the squares of its last layer")

    def unused_keys(self) -> Mapping[str, str]:
        idle = dict.fromkeys(["rollouts"], "model.reward=discriminator") if self.reward == "constant" else {}
        return {**super().unused_keys(), **idle}


class SeqGAN(Recipe):
    """REINFORCE with Monte Carlo rollouts, after pretraining of generator and discriminator."""

    Config = SeqGANConfig

    def build(self, config: SeqGANConfig, spec: Spec) -> Game:
        tokens, options = TokenIds(config.tokenizer, spec), config.game_options()
        options["penalties"] = [*options["penalties"], *weight_penalty(config.discriminator_l2, "head")]
        return adversarial_game(
            generator=lambda: lstm_generator(config, tokens),
            discriminator=lambda: ConvolutionalDiscriminator(
                tokens.vocab_size,
                tokens.length,
                config.discriminator_embedding,
                config.discriminator_filters,
                config.discriminator_dropout,
            ),
            estimator=config.estimator(1.0, config.rollouts, "probability"),
            players=config.pretraining_players(config.pretraining_lr),
            phases=config.training_phases(options["penalties"]),
            representation=tokens,
            **options,
        )
