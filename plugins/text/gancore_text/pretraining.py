"""What GANs of tokens share: keys, and a pretraining of the generator as a language model."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from gancore.games import Adam, AdversarialConfig, Move, Phase, Player, Schedule
from gancore_text.tokenizer import TokenizerName

PRETRAINING = "pretraining"
"""The player that trains the generator by maximum likelihood."""


class TokenGANConfig(AdversarialConfig):
    """The keys of recipes whose generator has a likelihood: it may be a language model before the game."""

    tokenizer: TokenizerName = Field("word", description="what a token is: word, character or bpe")
    batch_size: PositiveInt = Field(64, description="texts per global batch")
    steps: PositiveInt = Field(4000, description="steps, when the command gives no budget")
    embedding_dim: PositiveInt = Field(128, description="size of the generator's embeddings")
    pretraining: NonNegativeFloat = Field(
        0.0, lt=1, description="share of the budget in which the generator is a language model; 0: none"
    )
    pretraining_lr: PositiveFloat = Field(3e-3, description="Adam's maximal rate in that share")

    def unused_keys(self) -> Mapping[str, str]:
        idle = {} if self.pretraining else {"pretraining_lr": "model.pretraining=0.5"}
        return {**super().unused_keys(), **idle}

    def pretraining_players(self, lr: Schedule | float) -> dict[str, Player]:
        """The player of the pretraining, if there is one."""
        if self.pretraining == 0:
            return {}
        return {PRETRAINING: Player(["generator"], Adam(lr, (0.9, 0.99)), clip_grad_norm=5.0)}

    def pretraining_phases(self) -> list[Phase]:
        """The phase of the pretraining, if there is one; what it validates selects no model."""
        if self.pretraining == 0:
            return []
        moves = [Move(PRETRAINING, "nll")]
        return [Phase(moves, budget_share=self.pretraining, name="likelihood", selects=False)]
