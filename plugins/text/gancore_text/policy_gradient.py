"""What the recipes share that train a generator of tokens by policy gradients: keys, generator, phases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveInt, model_validator
from torch import Tensor, nn

from gancore.data import Tree
from gancore.games import (
    Baseline,
    Discriminator,
    PenaltyTerm,
    Phase,
    Reinforce,
    Reward,
    adversarial_moves,
)
from gancore.nn import Recurrent, SequenceGenerator
from gancore_text.pretraining import TokenGANConfig
from gancore_text.representation import TokenIds
from gancore_text.tokenizer import END

RewardSource = Literal["discriminator", "constant"]


class PolicyGradientConfig(TokenGANConfig):
    """The keys of recipes whose generator is trained by REINFORCE."""

    width: PositiveInt = Field(256, description="units of each LSTM layer of the generator")
    layers: PositiveInt = Field(1, le=8, description="LSTM layers of the generator")
    reward: RewardSource = Field(
        "discriminator",
        description="constant: the control, in which every return is 1 and no discriminator is asked",
    )
    baseline: Baseline = Field("ema", description="what is subtracted from returns: their average, ...")
    baseline_decay: NonNegativeFloat = Field(0.9, lt=1, description="memory of the average of returns")
    entropy_bonus: NonNegativeFloat = Field(
        0.0, description="times the entropy of each next token, subtracted from the generator's cost"
    )
    discriminator_pretraining: NonNegativeFloat = Field(
        0.0, lt=1, description="share of the budget in which the discriminator alone is trained; 0: none"
    )

    @model_validator(mode="after")
    def _check_shares(self) -> Self:
        if self.pretraining + self.discriminator_pretraining >= 1:
            raise ValueError(
                "pretraining and discriminator_pretraining leave nothing of the budget: lower one"
            )
        return self

    def unused_keys(self) -> Mapping[str, str]:
        idle = dict(super().unused_keys())
        if self.reward == "constant":
            idle |= dict.fromkeys(("baseline", "baseline_decay"), "model.reward=discriminator")
        elif self.baseline not in ("ema", "position"):
            idle |= {"baseline_decay": "model.baseline=ema"}
        return idle

    def estimator(self, discount: float, rollouts: int, reward: Reward) -> Reinforce:
        """``reward``: the one of the discriminator that the recipe uses."""
        if self.reward == "constant":
            return Reinforce(baseline="none", entropy_bonus=self.entropy_bonus, reward="constant")
        decay = self.baseline_decay
        return Reinforce(discount, self.baseline, self.entropy_bonus, rollouts, reward, decay)

    def training_phases(self, penalties: Sequence[PenaltyTerm]) -> list[Phase]:
        """Pretraining of the generator, then of the discriminator, as shares of the budget; then the game."""
        share = self.discriminator_pretraining
        moves = adversarial_moves(self.discriminator_steps, penalties)
        warm_up = adversarial_moves(1, penalties)[:-1]
        alone = [Phase(warm_up, budget_share=share, name="discriminator", selects=False)] if share else []
        game = Phase(moves, budget_share=1 - self.pretraining - share, name="adversarial")
        return [*self.pretraining_phases(), *alone, game]


def lstm_generator(config: PolicyGradientConfig, tokens: TokenIds) -> SequenceGenerator:
    """p(text), exact, by an LSTM whose embeddings input and output share."""
    trunk = Recurrent(config.embedding_dim, config.width, config.layers, cell="lstm")
    return SequenceGenerator(trunk, tokens.vocab_size, tokens.length, end=END)


def weight_penalty(weight: float, *layers: str) -> list[PenaltyTerm]:
    """``weight`` times the sum of squares of the discriminator's parameters, of all or of these layers."""

    def squares(
        discriminator: Discriminator, real: Tree, fake: Tree, condition: Tree, alpha: Tensor
    ) -> Tensor:
        modules: list[nn.Module] = [discriminator.get_submodule(name) for name in layers] or [discriminator]
        parameters = [parameter for module in modules for parameter in module.parameters()]
        total = sum((p.float().square().sum() for p in parameters), alpha.new_zeros(()))
        return total.expand(len(alpha))

    return [PenaltyTerm("l2", squares, weight)] if weight else []
