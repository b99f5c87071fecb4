"""RelGAN (Nie et al. 2019): a relational memory, Gumbel-softmax, several readings, a relativistic loss."""

from __future__ import annotations

from pydantic import Field, PositiveInt

from gancore import Recipe, Spec
from gancore.games import Game, with_defaults
from gancore.nn import RelationalMemory
from gancore_text.gumbel import GumbelConfig
from gancore_text.representation import TokenIds


@with_defaults(pretraining=0.8, temperature=0.3)
class RelGANConfig(GumbelConfig):
    """The inverse temperature rises to 100 in the last step of the game as in the paper, but from 3. From 1,
    the discriminator first sees mixtures of words, and in a short game the texts become alike. Networks are
    smaller than published (two heads of 256, 64 readings, 300 maps, five moves of the discriminator).
    """

    slots: PositiveInt = Field(1, le=16, description="slots of the memory")
    heads: PositiveInt = Field(2, le=16, description="heads of the memory's attention")
    head_size: PositiveInt = Field(128, description="numbers of a head; a slot has heads times as many")
    readings: PositiveInt = Field(16, description="numbers of an embedding, each read as a text of its own")


class RelGAN(Recipe):
    """The discriminator sees the softmax of logits and noise, the generator the token that is its argmax."""

    Config = RelGANConfig

    def build(self, config: RelGANConfig, spec: Spec) -> Game:
        memory = config.embedding_dim, config.slots, config.heads, config.head_size
        return config.build_game(
            lambda: RelationalMemory(*memory),
            TokenIds(config.tokenizer, spec),
            hard=False,
            readings=config.readings,
            size=1,
        )
