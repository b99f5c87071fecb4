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
    """Base class of recipes: ``Config`` with defaults, and ``build(config, spec)``.

    The fields of ``Config`` are the section ``model`` of the configuration. ``build`` gets the spec of the
    data, not the data.
    """

    Config: ClassVar[type[RecipeConfig]] = RecipeConfig

    def build(self, config: Any, spec: Spec) -> Game:
        """Build the game with initial parameters from torch's global generator.

        Raises:
            gancore.errors.ConfigError: config and spec do not fit together.
        """
        raise TypeError(f"{type(self).__name__} must define build(config, spec)")


BUILDER_PARAMETERS = (("spec",), ("config", "spec"))
"""The names of the required parameters of a builder; other parameters must have defaults."""


def recipe_from_function(function: FunctionType) -> Recipe:
    """Make a recipe of a function ``build(spec)`` or ``build(config, spec)`` that returns a game.

    ``config`` is an instance of the class in the annotation of the parameter, a subclass of
    :class:`gancore.RecipeConfig`; without an annotation it has ``batch_size``, ``micro_batches`` and
    ``steps``. For its game ``precision=auto`` means fp32.

    Raises:
        ConfigError: the function has other required parameters.
    """
    takes_config = _builder_parameters(function) == ("config", "spec")

    class FunctionRecipe(Recipe):
        Config = _config_class(function) if takes_config else RecipeConfig

        def build(self, config: Any, spec: Spec) -> Game:
            game: Game = function(config, spec) if takes_config else function(spec)
            if hasattr(game, "fp32_by_default"):  # build_game refuses other objects
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
