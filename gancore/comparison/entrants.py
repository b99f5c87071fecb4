"""Who takes part: every recipe under every seed, with the configuration that it is trained by."""

from __future__ import annotations

from typing import Any

from gancore.comparison.asked import LAST, Asked
from gancore.comparison.folder import ComparisonFolder, Entrant
from gancore.config import difference
from gancore.configure import read_config, resolve_config
from gancore.errors import ConfigError, GancoreError
from gancore.plugins import plugins


def arguments(asked: Asked, name: str, seed: int, select: str = "") -> dict[str, Any]:
    """What :func:`gancore.train` is told for one of them; ``select``: the measure that chooses its model."""
    chosen = [f"upkeep.select={select}"] if select else []
    budget = asked.spent
    return {
        "domain": asked.domain,
        "recipe": asked.recipes[name],
        "data": asked.data,
        "overrides": [*asked.settings_of(name), *chosen],
        budget.unit: budget.amount if budget.unit == "seconds" else int(budget.amount),
        "seed": seed,
        "device": asked.device,
    }


def entrants(asked: Asked) -> list[Entrant]:
    """In the order of training: seed by seed, so that all have been tried once as soon as may be.

    Raises:
        ConfigError: settings that a recipe does not take, with the recipe's name.
        PluginError: no such domain or recipe.
    """
    _refuse_judges(asked)
    return [_entrant(asked, name, seed) for seed in asked.seeds for name in asked.recipes]


def _entrant(asked: Asked, name: str, seed: int) -> Entrant:
    try:
        config = resolve_config(**arguments(asked, name, seed))
    except GancoreError as error:
        raise type(error)(f"{name}: {error.message}", error.fix) from error
    return Entrant(name, config.recipe, seed, config)


def _refuse_judges(asked: Asked) -> None:
    """A judge makes no samples that could be compared."""
    known = plugins().recipes(plugins().domain(asked.domain))
    for name, recipe in asked.recipes.items():
        if recipe in known and "judge" in known[recipe].provides:
            raise ConfigError(f"{name}: recipe {recipe!r} judges samples, it makes none", "leave it out")


def every_recipe(domain: str) -> list[str]:
    """All of a domain that make samples: its own, then those that other plugins bring."""
    found = plugins().recipes(plugins().domain(domain))
    return [name for name, entry in found.items() if "judge" not in entry.provides]


def selecting(asked: Asked, own: str) -> str:
    """The measure that chooses models; empty: none, the last is taken. ``own`` is the domain's."""
    return own if asked.select is None else "" if asked.select == LAST else asked.select


def refuse_changed(folder: ComparisonFolder, everyone: list[Entrant]) -> None:
    """Raises ConfigError where a training that was begun here was begun by another configuration."""
    for entrant in everyone:
        file = folder.run(entrant).config_file
        if file.exists() and (changes := difference(read_config(file), entrant.config)):
            raise ConfigError(
                f"{entrant} was begun by another configuration: {changes[0]}",
                "install what it was begun with, or begin a new comparison",
            )
