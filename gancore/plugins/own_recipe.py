"""Recipes that a program defines itself: named ``module:Class``, with no plugin around them."""

from __future__ import annotations

import sys
from functools import reduce
from typing import cast

from gancore.errors import ConfigError, PluginError
from gancore.recipe import Recipe
from gancore.records import RecipeEntry


def is_recipe_class(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Recipe)


def name_of_recipe(recipe: str | type[Recipe]) -> str:
    """``module:Class`` of a class, which a process that has imported the module finds again.

    Raises:
        ConfigError: the class lies inside a function.
    """
    if isinstance(recipe, str):
        return recipe
    if "<locals>" in recipe.__qualname__:
        raise ConfigError(
            f"the recipe {recipe.__qualname__} is defined inside a function",
            "define it at the top of a module",
        )
    return f"{recipe.__module__}:{recipe.__qualname__}"


def own_recipe(name: str) -> tuple[RecipeEntry, Recipe]:
    """The recipe that ``module:Class`` names, of the modules that this program has imported.

    Nothing is imported and no code is run by a name that stands in a file: what is not in a module's or a
    class's own ``vars`` is not found.

    Raises:
        PluginError: the module is not imported, or holds no such recipe.
    """
    module, _, path = name.partition(":")
    try:
        found: object = reduce(
            lambda holder, part: vars(holder)[part], path.split("."), cast(object, sys.modules[module])
        )
    except (KeyError, TypeError):
        raise PluginError(
            f"recipe {name!r}: module {module!r} is not imported in this program, or has no class {path!r}",
            f"import {module} before, or bring the recipe as a plugin (`gancore plugins new`)",
        ) from None
    if not (isinstance(found, type) and issubclass(found, Recipe)):
        raise PluginError(f"{name!r} is no subclass of gancore.Recipe", "name a recipe")
    return RecipeEntry(name, name, (found.__doc__ or "").partition("\n")[0]), found()
