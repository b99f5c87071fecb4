"""WGAN-GP on characters: all positions of a text at once, as rows of a simplex."""

from __future__ import annotations

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from gancore import Recipe, Spec
from gancore.games import (
    AdversarialConfig,
    Game,
    TokenDiscriminator,
    adversarial_game,
    normal,
    with_defaults,
)
from gancore.nn import leaky_relu
from gancore_text.representation import TokenIds

RESIDUAL_SCALE = 0.3


@with_defaults(
    loss="wasserstein",
    penalty="wgan-gp",
    penalty_weight=10.0,
    lr=1e-3,
    beta1=0.0,
    discriminator_steps=5,
)
class CharacterGANConfig(AdversarialConfig):
    """Smaller and faster than published: Gulrajani et al. 2017, section 5.5, have width 512, ten moves of the
    critic, Adam at 1e-4 with betas 0.5 and 0.9, and 200,000 steps.
    """

    batch_size: PositiveInt = Field(64, description="texts per global batch")
    steps: PositiveInt = Field(20_000, description="steps, when the command gives no budget")
    width: PositiveInt = Field(64, description="channels of every convolution")
    blocks: PositiveInt = Field(5, le=32, description="residual blocks of each network")
    kernel_size: int = Field(5, ge=1, le=31, description="characters that a convolution reads")
    latent_dim: PositiveInt = Field(128, description="dimensions of a latent")


class CharacterGAN(Recipe):
    """A generator of all positions at once, and a critic of one-hot and simplex rows, by WGAN-GP.

    The texts have the length that the data say: cut or leave out longer ones, or take windows.
    """

    Config = CharacterGANConfig

    def build(self, config: CharacterGANConfig, spec: Spec) -> Game:
        tokens = TokenIds("character", spec)
        shape = config.width, config.blocks, config.kernel_size
        return adversarial_game(
            generator=lambda: SimplexGenerator(tokens.vocab_size, tokens.length, config.latent_dim, *shape),
            discriminator=lambda: TextCritic(tokens.vocab_size, tokens.length, *shape),
            prior=normal(config.latent_dim),
            representation=tokens,
            **config.game_options(),
        )


class SimplexGenerator(nn.Module):
    """Latents (batch, latent) to rows of a simplex (batch, length, vocabulary): the softmax of the logits."""

    def __init__(
        self, vocabulary: int, length: int, latent: int, width: int, blocks: int, kernel: int
    ) -> None:
        super().__init__()
        self.width, self.length = width, length
        self.dense = nn.Linear(latent, width * length)
        self.blocks = nn.Sequential(*(ResidualBlock(width, kernel) for _ in range(blocks)))
        self.output = nn.Linear(width, vocabulary)

    def forward(self, latents: Tensor) -> Tensor:
        x = self.dense(latents).view(latents.shape[0], self.width, self.length)
        logits: Tensor = self.output(self.blocks(x).transpose(1, 2))
        return logits.softmax(-1, dtype=torch.promote_types(logits.dtype, torch.float32))


class TextCritic(TokenDiscriminator):
    """Ids or simplex rows to a number each. Without the biases that cancel in a difference of two numbers."""

    def __init__(self, vocabulary: int, length: int, width: int, blocks: int, kernel: int) -> None:
        super().__init__(vocabulary, width)
        last = blocks - 1
        self.blocks = nn.Sequential(*(ResidualBlock(width, kernel, k < last) for k in range(blocks)))
        self.dense = nn.Linear(width * length, 1, bias=False)

    def logits(self, embedded: Tensor, condition: object = None) -> Tensor:
        x = self.blocks(embedded.transpose(1, 2).contiguous())
        logits: Tensor = self.dense(x.flatten(1)).squeeze(1)
        return logits


class ResidualBlock(nn.Module):
    """x + 0.3 conv(relu(conv(relu(x)))) of (batch, width, length). ``bias``: of the last convolution."""

    def __init__(self, width: int, kernel: int, bias: bool = True) -> None:
        super().__init__()
        self.first = nn.Conv1d(width, width, kernel, padding="same")
        self.second = nn.Conv1d(width, width, kernel, padding="same", bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = self.second(leaky_relu(self.first(leaky_relu(x, 0.0)), 0.0))
        return torch.add(x, changed, alpha=RESIDUAL_SCALE)
