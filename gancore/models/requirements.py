"""Plugins that a model needs for sampling, and plugins that only its training used."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from typing import Any

from torch import nn

from gancore.domain import Domain
from gancore.entries import RecipeEntry
from gancore.errors import CheckpointError, GancoreError, PluginError
from gancore.games.game import Game
from gancore.plugins import plugins
from gancore.text import truncate_middle


def sampling_requirements(domain: Domain, entry: RecipeEntry, game: Game) -> dict[str, str]:
    """Versions, by distribution, of the plugins of the domain, recipe, game and sampler."""
    own = plugins().plugin_of(entry)
    named = {own.distribution: own.version} if own and own.distribution else {}
    modules = [type(domain).__module__, type(game).__module__, *_modules(game.sampler())]
    return {**_versions(modules), **named}


def training_requirements(game: Game) -> dict[str, str]:
    """Versions, by distribution, of the plugins of networks, losses, penalties, optimizers and dynamics."""
    values = [each for value in vars(game).values() for each in (value, *_contents(value))]
    values += [player.optimizer for player in game.players.values()] + [
        phase.dynamics for phase in game.phases
    ]
    objects = [part for value in values for part in (value, *getattr(value, "__dict__", {}).values())]
    return _versions([*_modules(game), *map(_defining_module, objects)])


def _contents(value: object) -> Iterable[object]:
    """The items of a list or tuple, or the values of a mapping."""
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, list | tuple) else ()


def _versions(modules: Iterable[str]) -> dict[str, str]:
    packages = plugins().packages()
    origins = [packages.get(module.partition(".")[0]) for module in modules]
    return {origin.distribution: origin.version for origin in origins if origin and origin.distribution}


def _modules(network: nn.Module) -> Iterator[str]:
    """The Python modules that define the classes of the network's modules and of their attributes."""
    for module in network.modules():
        yield type(module).__module__
        yield from map(_defining_module, vars(module).values())


def _defining_module(value: object) -> str:
    """The Python module of a function or class; for another object, that of its class."""
    value = getattr(value, "func", value)  # of functools.partial
    has_module = callable(value) and isinstance(getattr(value, "__module__", None), str)
    return str((value if has_module else type(value)).__module__)


def explain_missing(error: GancoreError, config: Mapping[str, Any], where: str) -> GancoreError:
    """An error that names the plugin that is missing or has another version; ``error`` if there is none."""
    missing = {name: version for name, version in config["plugins"].items() if _installed(name) is None}
    if missing:
        return PluginError(
            f"{where} needs {_format_versions(missing)}, which is not installed", _pip_command(missing)
        )
    changed = {name: version for name, version in config["plugins"].items() if _installed(name) != version}
    if changed and isinstance(error, CheckpointError):
        installed = ", ".join(f"{name} {_installed(name)}" for name in changed)
        message = f"{error.message}; it was written by {_format_versions(changed)}; installed: {installed}"
        return CheckpointError(message, _pip_command(changed))
    return error


def _format_versions(versions: Mapping[str, str]) -> str:
    return truncate_middle(", ".join(f"{name} {version}" for name, version in versions.items()), 300)


def _pip_command(versions: Mapping[str, str]) -> str:
    """The command that installs the plugins. The model is not trusted: invalid names are left out."""
    pins = [
        f"{name}=={version}"
        for name, version in versions.items()
        if _NAME.fullmatch(name) and _VERSION.fullmatch(version)
    ]
    if not pins:
        return "fetch the model again from its publisher: its config.json names no valid distribution"
    return truncate_middle(f"pip install {' '.join(pins)}", 300)


_NAME = re.compile(r"[A-Za-z0-9](?:[._-]*[A-Za-z0-9])*")
"""The name of a distribution (PEP 503)."""
_VERSION = re.compile(r"[0-9](?:[.!+_-]?[A-Za-z0-9])*")
"""A version: the characters of PEP 440 without those that a shell or pip interprets."""


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except (metadata.PackageNotFoundError, ValueError):
        return None
