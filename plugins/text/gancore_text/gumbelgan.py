"""A GAN by straight-through Gumbel-softmax (Kusner and Hernandez-Lobato 2016; Jang et al. 2017)."""

from __future__ import annotations

from pydantic import Field, PositiveInt

from gancore import Recipe, Spec
from gancore.games import Game, with_defaults
from gancore.nn import Recurrent
from gancore_text.gumbel import GumbelConfig
from gancore_text.representation import TokenIds


@with_defaults(temperature_end=0.5)
class GumbelGANConfig(GumbelConfig):
    width: PositiveInt = Field(256, description="units of each LSTM layer of the generator")
    layers: PositiveInt = Field(1, le=8, description="LSTM layers of the generator")
    discriminator_embedding: PositiveInt = Field(64, description="size of the discriminator's embeddings")


class GumbelGAN(Recipe):
    """Both networks read the sampled token as a one-hot row, whose gradient is that of the softmax."""

    Config = GumbelGANConfig

    def build(self, config: GumbelGANConfig, spec: Spec) -> Game:
        return config.build_game(
            lambda: Recurrent(config.embedding_dim, config.width, config.layers, cell="lstm"),
            TokenIds(config.tokenizer, spec),
            hard=True,
            readings=1,
            size=config.discriminator_embedding,
        )
