"""A recipe: a named, complete way to train one model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from gancore.config import RecipeSection

if TYPE_CHECKING:
    from gancore.domain import Spec
    from gancore.games.game import Game


class Recipe:
    """A config with defaults, and ``build(config, spec)``.

    ``Config``'s fields are the ``model`` section of the configuration. ``build`` needs no data: all
    it may know of them stands in the spec.
    """

    Config: ClassVar[type[RecipeSection]] = RecipeSection

    def build(self, config: Any, spec: Spec) -> Game:
        """Raises :class:`gancore.errors.ConfigError` where config and spec do not fit each other."""
        raise TypeError(f"{type(self).__name__} must define build(config, spec)")
