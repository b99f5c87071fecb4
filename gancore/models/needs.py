"""Which plugins a model needs, and which only its training used: versions by distribution."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from typing import Any

from torch import nn

from gancore.domain import Domain
from gancore.errors import CheckpointError, GancoreError, PluginError, cut
from gancore.games.game import Game
from gancore.plugins import plugins
from gancore.records import RecipeEntry


def needed_to_sample(domain: Domain, entry: RecipeEntry, sampler: nn.Module) -> dict[str, str]:
    """Of the domain, of the recipe, and of whatever class the sampler is made of."""
    own = plugins().origin(entry)
    named = {own.distribution: own.version} if own and own.distribution else {}
    return {**_versions([type(domain).__module__, *_modules(sampler)]), **named}


def used_in_training(game: Game) -> dict[str, str]:
    """Of all networks, and of losses, penalties, rules and dynamics."""
    held = [thing for value in vars(game).values() for thing in (value, *_within(value))]
    held += [player.rule for player in game.players.values()] + [phase.dynamics for phase in game.phases]
    parts = [part for thing in held for part in (thing, *getattr(thing, "__dict__", {}).values())]
    return _versions([*_modules(game), *map(_home, parts)])


def _within(value: object) -> Iterable[object]:
    """What a list, a tuple or a mapping holds itself."""
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, list | tuple) else ()


def _versions(modules: Iterable[str]) -> dict[str, str]:
    packages = plugins().packages()
    origins = [packages.get(module.partition(".")[0]) for module in modules]
    return {origin.distribution: origin.version for origin in origins if origin and origin.distribution}


def _modules(network: nn.Module) -> Iterator[str]:
    """Where the classes of its modules, and of what these hold, are defined."""
    for module in network.modules():
        yield type(module).__module__
        yield from map(_home, vars(module).values())


def _home(thing: object) -> str:
    """The module of a function or a class, or else that of an object's class."""
    thing = getattr(thing, "func", thing)  # of functools.partial
    home = thing if callable(thing) and isinstance(getattr(thing, "__module__", None), str) else type(thing)
    return str(home.__module__)


def lacking(config: Mapping[str, Any]) -> dict[str, str]:
    """Of what a model's config names, what is not installed."""
    return {name: version for name, version in config["plugins"].items() if _installed(name) is None}


def with_needs(error: GancoreError, config: Mapping[str, Any], where: str) -> GancoreError:
    """``error`` of a model that cannot be built here, with the plugin that it lacks or that has changed."""
    missing = lacking(config)
    if missing:
        return PluginError(f"{where} needs {_told(missing)}, not installed here", _install(missing))
    changed = {name: version for name, version in config["plugins"].items() if _installed(name) != version}
    if changed and isinstance(error, CheckpointError):
        here = ", ".join(f"{name} {_installed(name)}" for name in changed)
        message = f"{error.message}; it was written by {_told(changed)}, and here is {here}"
        return CheckpointError(message, _install(changed))
    return error


def _told(versions: Mapping[str, str]) -> str:
    return cut(", ".join(f"{name} {version}" for name, version in versions.items()), 300)


def _install(versions: Mapping[str, str]) -> str:
    """The command that installs them. A model comes from anybody: what is no name or version is left out."""
    pins = [
        f"{name}=={version}"
        for name, version in versions.items()
        if _NAME.fullmatch(name) and _VERSION.fullmatch(version)
    ]
    if not pins:
        return "fetch the model from where it was published: its config.json names no distribution"
    return cut(f"pip install {' '.join(pins)}", 300)


_NAME = re.compile(r"[A-Za-z0-9](?:[._-]*[A-Za-z0-9])*")
"""Of a distribution (PEP 503)."""
_VERSION = re.compile(r"[0-9](?:[.!+_-]?[A-Za-z0-9])*")
"""Of the characters of PEP 440, and none that a shell or pip would read as something else."""


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except (metadata.PackageNotFoundError, ValueError):
        return None
