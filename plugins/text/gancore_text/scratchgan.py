"""ScratchGAN (de Masson d'Autume et al. 2019): REINFORCE from scratch, with a reward for each token."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from gancore import Recipe, Spec
from gancore.games import Game, TokenDiscriminator, adversarial_game, with_defaults
from gancore.nn import Dropout, Recurrent, until_end
from gancore_text.policy_gradient import PolicyGradientConfig, lstm_generator, weight_penalty
from gancore_text.representation import TokenIds
from gancore_text.tokenizer import END

POSITION_FEATURES = 8


class RecurrentDiscriminator(TokenDiscriminator):
    """A logit for each token, which reads that token and those before it: embeddings beside sines of the
    position, an LSTM, layer normalization."""

    def __init__(self, vocab_size: int, length: int, embedding_dim: int, width: int, dropout: float) -> None:
        super().__init__(vocab_size, embedding_dim)
        self.position: Tensor
        self.register_buffer("position", sine_positions(length), persistent=False)
        self.dropout = Dropout(dropout)
        self.project = nn.Linear(embedding_dim + POSITION_FEATURES, width)
        self.trunk = Recurrent(width, width, cell="lstm")
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 1)

    def mask(self, data: Tensor) -> Tensor:
        return until_end(data, END)

    def logits(self, embedded: Tensor, condition: object = None) -> Tensor:
        position = self.position.to(embedded.dtype).expand(len(embedded), -1, -1)
        inputs = self.project(torch.cat([self.dropout(embedded), position], -1))
        logits: Tensor = self.head(self.norm(self.trunk(inputs)))[..., 0]
        return logits


def sine_positions(length: int) -> Tensor:
    """Sines and cosines of the position at frequencies from 1 to 1/length, (length, POSITION_FEATURES)."""
    frequencies = torch.logspace(0, -math.log10(max(length, 2)), POSITION_FEATURES // 2)
    angles = torch.arange(length)[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], 1)


@with_defaults(
    penalty="none",
    batch_size=512,
    steps=2000,
    lr=1e-4,
    discriminator_lr=1e-2,
    beta1=0.5,
    beta2=0.999,
    clip_grad_norm=10.0,
    baseline_decay=0.08,
)
class ScratchGANConfig(PolicyGradientConfig):
    """Rates, batch, discount and average of the published code, with smaller networks."""

    discount: float = Field(0.23, ge=0, le=1, description="gamma of the return; below 1 it is biased")
    discriminator_embedding: PositiveInt = Field(128, description="size of the discriminator's embeddings")
    discriminator_width: PositiveInt = Field(256, description="units of the discriminator's LSTM")
    discriminator_dropout: NonNegativeFloat = Field(
        0.1, lt=1, description="share of the discriminator's embeddings that are zero"
    )
    discriminator_l2: NonNegativeFloat = Field(1e-6, description="times the squares of its weights")

    def unused_keys(self) -> Mapping[str, str]:
        idle = dict(super().unused_keys())
        if self.reward == "constant":
            idle |= {"discount": "model.reward=discriminator"}
        return idle


class ScratchGAN(Recipe):
    """REINFORCE with 2 sigmoid(D) - 1 of each token; by default without pretraining."""

    Config = ScratchGANConfig

    def build(self, config: ScratchGANConfig, spec: Spec) -> Game:
        tokens, options = TokenIds(config.tokenizer, spec), config.game_options()
        options["penalties"] = [*options["penalties"], *weight_penalty(config.discriminator_l2)]
        return adversarial_game(
            generator=lambda: lstm_generator(config, tokens),
            discriminator=lambda: RecurrentDiscriminator(
                tokens.vocab_size,
                tokens.length,
                config.discriminator_embedding,
                config.discriminator_width,
                config.discriminator_dropout,
            ),
            estimator=config.estimator(config.discount, 0, "centred"),
            players=config.pretraining_players(config.pretraining_lr),
            phases=config.training_phases(options["penalties"]),
            representation=tokens,
            **options,
        )
