"""A recipe: a named, complete way to train one model."""

from __future__ import annotations

import inspect
from types import FunctionType
from typing import TYPE_CHECKING, Any, ClassVar, get_type_hints

from gancore.config import RecipeConfig
from gancore.errors import ConfigError

if TYPE_CHECKING:
    from gancore.data.dataset import Spec
    from gancore.games.game import Game


class Recipe:
    """A config with defaults, and ``build(config, spec)``.

    The fields of ``Config`` are the ``model`` section of the configuration. ``build`` gets no data: the spec
    has everything that it may know of them.
    """

    Config: ClassVar[type[RecipeConfig]] = RecipeConfig

    def build(self, config: Any, spec: Spec) -> Game:
        """Raises :class:`gancore.errors.ConfigError` if config and spec do not fit."""
        raise TypeError(f"{type(self).__name__} must define build(config, spec)")


BUILDER_PARAMETERS = (("spec",), ("config", "spec"))
"""The names of the parameters of a builder; others have defaults."""


def recipe_from_function(function: FunctionType) -> Recipe:
    """The recipe of a builder of a program: ``build(spec)`` or ``build(config, spec)``, which returns a game.

    ``config`` is of the class that the function's annotation names, a subclass of
    :class:`gancore.RecipeConfig`; without an annotation it has ``batch_size``, ``micro_batches`` and
    ``steps``. ``precision=auto`` means fp32 for its game.

    Raises:
        ConfigError: the function has other parameters.
    """
    takes_config = _builder_parameters(function) == ("config", "spec")

    class FunctionRecipe(Recipe):
        Config = _config_class(function) if takes_config else RecipeConfig

        def build(self, config: Any, spec: Spec) -> Game:
            game: Game = function(config, spec) if takes_config else function(spec)
            if hasattr(game, "fp32_by_default"):  # build_game refuses what is no game
                game.fp32_by_default = True
            return game

    return FunctionRecipe()


def _builder_parameters(function: FunctionType) -> tuple[str, ...]:
    parameters = inspect.signature(function).parameters.values()
    required = tuple(each.name for each in parameters if each.default is each.empty)
    if required not in BUILDER_PARAMETERS:
        raise ConfigError(
            f"game is the function {function.__name__}({', '.join(required)})",
            f"write def {function.__name__}(spec), or def {function.__name__}(config, spec)",
        )
    return required


def _config_class(function: FunctionType) -> type[RecipeConfig]:
    try:
        hint = get_type_hints(function).get("config")
    except Exception:  # an annotation that only type checkers can evaluate
        hint = None
    return hint if isinstance(hint, type) and issubclass(hint, RecipeConfig) else RecipeConfig
