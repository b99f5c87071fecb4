"""A variational autoencoder of texts (Bowman et al. 2016)."""

from __future__ import annotations

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from gancore import Recipe, Spec
from gancore.data import Tree
from gancore.games import (
    Cost,
    Draw,
    Game,
    LikelihoodConfig,
    LikelihoodGame,
    Move,
    likelihood_game,
    with_defaults,
)
from gancore.nn import SequenceGenerator, VariationalAutoencoder
from gancore.random import Key
from gancore_text.latents import LatentRecurrent, TextEncoder, WordDropoutGenerator
from gancore_text.representation import TokenIds
from gancore_text.tokenizer import END, TokenizerName


@with_defaults(lr=2e-3, lr_end=0.01, lr_warmup=0.05, beta2=0.99, clip_grad_norm=5.0)
class TextVAEConfig(LikelihoodConfig):
    """Against latents that carry nothing: annealing, free bits and word dropout."""

    tokenizer: TokenizerName = Field("word", description="what a token is: word, character, bpe or local")
    batch_size: PositiveInt = Field(64, description="texts per global batch")
    steps: PositiveInt = Field(4000, description="steps, when the command gives no budget")
    embedding_dim: PositiveInt = Field(128, description="size of the embeddings")
    width: PositiveInt = Field(256, description="units of the LSTMs")
    latent_dim: PositiveInt = Field(32, description="dimensions of a latent")
    dropout: NonNegativeFloat = Field(0.3, lt=1, description="share of inputs and outputs that are zero")
    word_dropout: NonNegativeFloat = Field(
        0.3, lt=1, description="share of the decoder's input tokens that are unknown in training"
    )
    annealing: NonNegativeFloat = Field(
        0.4, le=1, description="share of training over which the weight of the KL rises from 0 to 1"
    )
    free_nats: NonNegativeFloat = Field(
        0.1, description="nats of KL of each dimension and text that cost nothing in training"
    )
    importance_samples: PositiveInt = Field(
        64, description="latents per text in the importance-weighted bound, k"
    )


class TextLikelihood(nn.Module):
    """p(x | z) of an autoregressive decoder; ``decoded`` are the latents, (batch, latent)."""

    def __init__(self, generator: SequenceGenerator) -> None:
        super().__init__()
        self.generator = generator

    def log_prob(self, data: Tensor, decoded: Tensor) -> Tensor:
        return self.generator.log_prob(data, latents=decoded)

    @torch.no_grad()
    def sample(self, decoded: Tensor, key: Key, temperature: float = 1.0) -> Tensor:
        generator, rows = self.generator, len(decoded)
        uniform = key.uniform(rows, generator.length)
        prefix = torch.empty(rows, 0, dtype=torch.int64, device=uniform.device)
        return generator.complete(prefix, generator.initial(rows, None, decoded), uniform, temperature)


class Unchanged(nn.Module):
    """The autoregressive likelihood takes latents themselves."""

    def forward(self, z: Tensor, condition: Tree = None) -> Tensor:
        return z


class TextVAE(VariationalAutoencoder):
    """Its samples have a temperature, which divides the logits of tokens; latents stay as they are."""

    likelihood: TextLikelihood
    parallel = False

    def sample(self, n: int, key: Key, condition: Tree = None, temperature: float = 1.0) -> Tensor:
        return self.likelihood.sample(self.latents(n, key), key / "x", temperature)


class TextVAEGame(LikelihoodGame):
    """Minimises -log p(x | z) + w sum_j max(KL_j, free nats); w rises from 0 to 1.

    The maximum is that of each text and dimension, so that rows stay independent (Kingma et al. 2016, eq. 16,
    has that of the mean). What is reported is the bound itself.
    """

    annealing: float = 0.0
    free_nats: float = 0.0

    def cost(self, move: Move, draw: Draw) -> Cost:
        batch = draw.real()
        reconstruction, divergences = self.model.elbo_terms(batch.data)
        weight = min(1.0, draw.progress_end / self.annealing) if self.annealing else 1.0
        cost = Cost().add("reconstruction", -reconstruction)
        cost.add("kl", divergences.clamp_min(self.free_nats).sum(1), scale=weight)
        cost.log("elbo", reconstruction - divergences.sum(1))
        return cost.log("kl_nats", divergences.sum(1))


class TextVAERecipe(Recipe):
    """Maximises the lower bound by Adam; reports the importance-weighted one."""

    Config = TextVAEConfig

    def build(self, config: TextVAEConfig, spec: Spec) -> Game:
        tokens = TokenIds(config.tokenizer, spec)
        game = likelihood_game(
            lambda: build_vae(config, tokens.vocab_size, tokens.length),
            **config.game_options(),
            representation=tokens,
            game=TextVAEGame,
        )
        assert isinstance(game, TextVAEGame)
        game.annealing, game.free_nats = config.annealing, config.free_nats
        return game


def build_vae(config: TextVAEConfig, vocab_size: int, length: int) -> TextVAE:
    trunk = LatentRecurrent(config.embedding_dim, config.width, config.latent_dim)
    generator = WordDropoutGenerator(
        trunk, vocab_size, length, end=END, latent=config.latent_dim, dropout=config.dropout
    )
    generator.word_dropout = config.word_dropout
    encoder = TextEncoder(vocab_size, config.embedding_dim, config.width, 2 * config.latent_dim)
    return TextVAE(
        encoder, Unchanged(), TextLikelihood(generator), config.latent_dim, config.importance_samples
    )
