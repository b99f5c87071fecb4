"""MaskGAN (Fedus et al. 2018): a generator that fills gaps, and a discriminator that reads the context."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from gancore import Recipe, Spec
from gancore.data import Tree
from gancore.games import (
    DiscreteGame,
    Draw,
    Game,
    Sampler,
    TokenDiscriminator,
    adversarial_game,
    with_defaults,
)
from gancore.nn import until_end
from gancore_text.infilling import ContextTrunk, GappedTokens, InfillingGenerator, InfillSampler
from gancore_text.policy_gradient import PolicyGradientConfig
from gancore_text.tokenizer import END


class ContextDiscriminator(TokenDiscriminator):
    """A logit for each token, which reads the context of gaps, that token and those before it."""

    def __init__(self, vocab_size: int, embedding_dim: int, width: int) -> None:
        super().__init__(vocab_size, embedding_dim)
        self.trunk = ContextTrunk(vocab_size, embedding_dim, width)
        self.head = nn.Linear(self.trunk.out_features, 1)

    def mask(self, data: Tensor) -> Tensor:
        return until_end(data, END)

    def logits(self, embedded: Tensor, condition: Tree = None) -> Tensor:
        logits: Tensor = self.head(self.trunk(embedded, condition))[..., 0]
        return logits


class InfillingGame(DiscreteGame):
    """The condition of reals and fakes are the texts of train with gaps."""

    def fake_condition(self, draw: Draw) -> Tree:
        return self.real(draw).condition

    def sampler(self) -> Sampler:
        assert isinstance(self.representation, GappedTokens)
        return InfillSampler(self.averaged(self.generator), self.representation)


@with_defaults(
    penalty="none",
    batch_size=64,
    lr=3e-4,
    discriminator_lr=1e-3,
    beta1=0.5,
    beta2=0.999,
    clip_grad_norm=5.0,
    baseline="learned",
    pretraining=0.6,
    steps=3000,
)
class MaskGANConfig(PolicyGradientConfig):
    """Rewards log D, a learned baseline, pretraining by maximum likelihood."""

    discount: float = Field(0.9, ge=0, le=1, description="gamma of the return; below 1 it is biased")
    discriminator_embedding: PositiveInt = Field(128, description="size of the discriminator's embeddings")
    discriminator_width: PositiveInt = Field(256, description="units of the discriminator's LSTMs")

    def unused_keys(self) -> Mapping[str, str]:
        idle = dict.fromkeys(["discount"], "model.reward=discriminator") if self.reward == "constant" else {}
        return {**super().unused_keys(), **idle}


class MaskGAN(Recipe):
    """Fills gaps given what is around them; with everything a gap it is a language model too."""

    Config = MaskGANConfig

    def build(self, config: MaskGANConfig, spec: Spec) -> Game:
        tokens, options = GappedTokens(config.tokenizer, spec), config.game_options()
        options["game"] = options["game"] or InfillingGame
        generator_sizes = config.embedding_dim, config.width, config.layers
        return adversarial_game(
            generator=lambda: InfillingGenerator(
                ContextTrunk(tokens.vocab_size, *generator_sizes), tokens.vocab_size, tokens.length
            ),
            discriminator=lambda: ContextDiscriminator(
                tokens.vocab_size, config.discriminator_embedding, config.discriminator_width
            ),
            estimator=config.estimator(config.discount, 0, "loss"),
            players=config.pretraining_players(config.pretraining_lr),
            phases=config.training_phases(options["penalties"]),
            representation=tokens,
            conditional=True,
            **options,
        )
