"""The configuration keys that all recipes with a discriminator share: loss, penalty, optimizer, EMA."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypedDict, TypeVar

from pydantic import Field, JsonValue, NonNegativeFloat, PositiveFloat, PositiveInt

from gancore.config import RecipeConfig
from gancore.games.adversarial import AdversarialGame, find_game
from gancore.games.optimizers import Optimizer, resolve_optimizer
from gancore.games.penalties import Penalty, resolve_penalties
from gancore.games.schedules import Schedule, cosine, linear

ConfigT = TypeVar("ConfigT", bound=RecipeConfig)
LR_SCHEDULES = {"cosine": cosine, "linear": linear}


class AdversarialOptions(TypedDict):
    """The arguments of :func:`gancore.games.adversarial_game` that these keys give."""

    loss: str
    penalties: Sequence[Penalty]
    generator_optimizer: Optimizer
    discriminator_optimizer: Optimizer
    discriminator_steps: int
    ema_halflife: float | None
    clip_grad_norm: float | None
    game: type[AdversarialGame] | None


class AdversarialConfig(RecipeConfig):
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
    optimizer: str = Field("adam", description="optimizer of both players, by name")
    optimizer_settings: dict[str, JsonValue] = Field(
        default_factory=dict, description="other settings of the optimizer, such as weight_decay"
    )
    lr: PositiveFloat = Field(2e-4, description="rate of both players at first")
    discriminator_lr: PositiveFloat | None = Field(
        None, description="the discriminator's rate at first; none: lr"
    )
    lr_end: NonNegativeFloat = Field(1.0, le=1, description="rates at the end, as a share; 1: constant")
    lr_schedule: Literal["cosine", "linear"] = Field("cosine", description="how rates go there")
    beta1: float = Field(0.5, ge=0, lt=1, description="memory of gradients: Adam's, or SGD's momentum")
    discriminator_beta1: float | None = Field(
        None, ge=0, lt=1, description="that of the discriminator's rule; none: beta1"
    )
    beta2: float = Field(0.99, ge=0, lt=1, description="memory of squares: Adam's and RMSprop's")
    clip_grad_norm: NonNegativeFloat = Field(0.0, description="bound on each gradient's norm; 0: none")
    ema_halflife: NonNegativeFloat = Field(
        0.0, description="half-life of the generator's average, in samples; 0: none"
    )
    game: str | None = Field(
        None, description="a plugin's game by name, or module:Class of this program; none: the recipe's own"
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
            "generator_optimizer": self._optimizer(self.lr * lr_scale, self.beta1),
            "discriminator_optimizer": self._optimizer(discriminator_lr * lr_scale, beta1),
            "discriminator_steps": self.discriminator_steps,
            "ema_halflife": self.ema_halflife or None,
            "clip_grad_norm": self.clip_grad_norm or None,
            "game": find_game(self.game),
        }

    def _penalties(self) -> list[Penalty]:
        if self.penalty_weight == 0:
            return []
        weight = _scheduled(self.penalty_weight, self.penalty_weight_end, cosine)
        return resolve_penalties(self.penalty, weight, self.penalty_every)

    def _optimizer(self, lr: float, beta1: float) -> Optimizer:
        schedule = _scheduled(lr, self.lr_end, LR_SCHEDULES[self.lr_schedule])
        return resolve_optimizer(self.optimizer, schedule, beta1, self.beta2, self.optimizer_settings)


def _scheduled(start: float, share: float, schedule: Callable[[float, float], Schedule]) -> Schedule | float:
    """A schedule from ``start`` to that ``share`` of it; a plain number if it does not change."""
    return start if share == 1 else schedule(start, start * share)


def with_defaults(**values: Any) -> Callable[[type[ConfigT]], type[ConfigT]]:
    """A class decorator that sets other defaults of inherited keys and changes nothing else of them."""

    def apply(config: type[ConfigT]) -> type[ConfigT]:
        for name, value in values.items():
            field = copy.copy(config.model_fields[name])
            field.default = value
            config.model_fields[name] = field
        config.model_rebuild(force=True)
        config.model_validate(values)  # pydantic does not validate defaults
        return config

    return apply
