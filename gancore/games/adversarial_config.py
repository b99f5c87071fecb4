"""The configuration keys that all recipes with a discriminator share: loss, penalties, and its optimizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from gancore.games.adversarial import AdversarialGame, find_game
from gancore.games.optimizer_config import OptimizerConfig, make_schedule
from gancore.games.optimizers import Optimizer
from gancore.games.penalties import PenaltyTerm, resolve_penalties
from gancore.games.schedules import cosine


class AdversarialOptions(TypedDict):
    """The arguments of :func:`gancore.games.adversarial_game` that these keys give."""

    loss: str
    penalties: Sequence[PenaltyTerm]
    generator_optimizer: Optimizer
    discriminator_optimizer: Optimizer
    discriminator_steps: int
    ema_halflife: float | None
    clip_grad_norm: float | None
    game: type[AdversarialGame] | None


class AdversarialConfig(OptimizerConfig):
    """A recipe sets :func:`with_defaults` and passes :meth:`game_options` to its game's function."""

    loss: str = Field("nonsaturating", description="adversarial loss by name")
    penalty: str = Field(
        "r1",
        description="gradient penalties on the discriminator by name, joined by +; none: no penalty;"
        " their strength is penalty_weight",
    )
    penalty_weight: NonNegativeFloat = Field(
        1.0, description="gamma of R1 and R2: gamma/2 |grad D|^2 each; lambda of WGAN-GP; 0: none"
    )
    penalty_weight_end: NonNegativeFloat = Field(
        1.0, le=1, description="that weight at the end, as a share of it; along a cosine"
    )
    penalty_every: PositiveInt = Field(1, description="steps between updates by the penalty; 1: every step")
    discriminator_steps: PositiveInt = Field(1, description="discriminator moves in a step")
    discriminator_lr: PositiveFloat | None = Field(
        None, description="the discriminator's rate at first; none: lr"
    )
    discriminator_beta1: float | None = Field(
        None, ge=0, lt=1, description="the discriminator's beta1; none: beta1"
    )
    game: str | None = Field(
        None, description="a plugin's game by name, or module:Class on the path; none: the recipe's own"
    )

    def unused_keys(self) -> Mapping[str, str]:
        idle = ("penalty_weight", "penalty_weight_end", "penalty_every") if self.penalty == "none" else ()
        return {**super().unused_keys(), **dict.fromkeys(idle, "model.penalty=r1")}

    def effective_keys(self) -> set[str]:
        keys = super().effective_keys()
        if self.penalty == "none":  # there is no weight to raise
            keys = keys - {"penalty"} | {"penalty=r1"}
        return keys | {"discriminator_steps=1"} if self.discriminator_steps > 1 else keys

    def game_options(self, lr_scale: float = 1.0) -> AdversarialOptions:
        """The options of the game, with both learning rates multiplied by ``lr_scale``."""
        discriminator_lr = self.lr if self.discriminator_lr is None else self.discriminator_lr
        beta1 = self.beta1 if self.discriminator_beta1 is None else self.discriminator_beta1
        return {
            "loss": self.loss,
            "penalties": self._penalties(),
            "generator_optimizer": self.build_optimizer(self.lr * lr_scale, self.beta1),
            "discriminator_optimizer": self.build_optimizer(discriminator_lr * lr_scale, beta1),
            "discriminator_steps": self.discriminator_steps,
            "ema_halflife": self.ema_halflife or None,
            "clip_grad_norm": self.clip_grad_norm or None,
            "game": find_game(self.game),
        }

    def _penalties(self) -> list[PenaltyTerm]:
        if self.penalty_weight == 0:
            return []
        weight = make_schedule(self.penalty_weight, self.penalty_weight_end, cosine)
        return resolve_penalties(self.penalty, weight, self.penalty_every)
