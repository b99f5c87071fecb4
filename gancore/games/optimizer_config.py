"""The configuration keys of optimizer, schedule, clipping and EMA, which all recipes with gradients share."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypedDict, TypeVar

from pydantic import Field, JsonValue, NonNegativeFloat, PositiveFloat

from gancore.config import RecipeConfig
from gancore.games.optimizers import Optimizer, resolve_optimizer
from gancore.games.schedules import Schedule, cosine, linear, warmup

ConfigT = TypeVar("ConfigT", bound=RecipeConfig)
LR_SCHEDULES: Mapping[str, Callable[[float, float], Schedule]] = {"cosine": cosine, "linear": linear}


class LikelihoodOptions(TypedDict):
    """The arguments of :func:`gancore.games.likelihood_game` that :class:`LikelihoodConfig` gives."""

    optimizer: Optimizer
    ema_halflife: float | None
    clip_grad_norm: float | None


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


class OptimizerConfig(RecipeConfig):
    """The base of :class:`LikelihoodConfig` and of :class:`gancore.games.AdversarialConfig`."""

    optimizer: str = Field("adam", description="optimizer of every player, by name")
    optimizer_settings: dict[str, JsonValue] = Field(
        default_factory=dict, description="other settings of the optimizer, such as weight_decay"
    )
    lr: PositiveFloat = Field(2e-4, description="learning rate of every player at first, or after lr_warmup")
    lr_end: NonNegativeFloat = Field(1.0, le=1, description="rates at the end, as a share; 1: constant")
    lr_schedule: Literal["cosine", "linear"] = Field("cosine", description="how rates go there")
    lr_warmup: NonNegativeFloat = Field(
        0.0, le=1, description="share of training over which rates rise from 0; 0: none"
    )
    beta1: float = Field(0.5, ge=0, lt=1, description="memory of gradients: Adam's, or SGD's momentum")
    beta2: float = Field(0.99, ge=0, lt=1, description="memory of squares: Adam's and RMSprop's")
    clip_grad_norm: NonNegativeFloat = Field(0.0, description="bound on each gradient's norm; 0: none")
    ema_halflife: NonNegativeFloat = Field(
        0.0, description="half-life of the EMA of the model or generator, in training examples; 0: no EMA"
    )

    def build_optimizer(self, lr: float, beta1: float) -> Optimizer:
        """The optimizer of a player with this rate and ``beta1``; the other settings are those of the keys.

        A name that is not found raises ConfigError when a training is set up, not here.
        """
        schedule = make_schedule(lr, self.lr_end, LR_SCHEDULES[self.lr_schedule])
        if self.lr_warmup:
            schedule = warmup(schedule, self.lr_warmup)
        return resolve_optimizer(self.optimizer, schedule, beta1, self.beta2, self.optimizer_settings)


@with_defaults(lr=1e-3, beta1=0.9, beta2=0.999)
class LikelihoodConfig(OptimizerConfig):
    """The keys of recipes of one player: a recipe passes :meth:`game_options` to its game's function."""

    def game_options(self, clip_scale: float = 1.0) -> LikelihoodOptions:
        """The options of the game; the bound on the gradient's norm is multiplied by ``clip_scale``, as that
        of a likelihood in nats grows with the numbers of a sample.
        """
        return {
            "optimizer": self.build_optimizer(self.lr, self.beta1),
            "ema_halflife": self.ema_halflife or None,
            "clip_grad_norm": self.clip_grad_norm * clip_scale or None,
        }


def make_schedule(
    start: float, share: float, schedule: Callable[[float, float], Schedule]
) -> Schedule | float:
    """A schedule from ``start`` to that ``share`` of it; a plain number if it does not change."""
    return start if share == 1 else schedule(start, start * share)
