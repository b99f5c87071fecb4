"""A recipe: a named, complete way to train one model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from gancore.config import RecipeConfig

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
