"""The numbers of an experiment's set-up, as ``--set key=value`` changes them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from gancore.config_text import read_value, short
from gancore.errors import ConfigError, nearest


def changed(name: str, setup: Mapping[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """The set-up of the experiment ``name`` with these ``"key=value"``, values in YAML.

    Raises:
        ConfigError: no such key, or a value of another kind than the one that it replaces.
    """
    made = dict(setup)
    for text in changes:
        key, equals, value = (part.strip() for part in text.partition("="))
        where = f"--set {short(text)}"
        if not equals:
            raise ConfigError(f"{where} is not of the form key=value", "write, for example, --set rate=0.1")
        if key not in setup:
            raise ConfigError(f"{where}: the set-up of {name} has no {key!r}", nearest(key, setup))
        made[key] = _like(setup[key], read_value(value, where), where)
    return made


def _like(old: Any, new: Any, where: str) -> Any:
    """The value as the set-up holds it: tuples in place of lists, a float where one was."""
    kind = _kind(old)
    fits = _kind(new) == kind or (kind == "a number" and _kind(new) == "a whole number")
    if not fits:
        raise ConfigError(f"{where}: {short(new)} is {_kind(new)}", f"give {kind}, as {short(_plain(old))}")
    if kind in ("a number", "a whole number") and not new >= 0:
        raise ConfigError(f"{where}: the number is below 0", "give 0 or more")
    if isinstance(old, Mapping):
        return {str(key): _frozen(value) for key, value in new.items()}
    return float(new) if isinstance(old, float) else _frozen(new)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int):
        return "a whole number"
    if isinstance(value, float):
        return "a number" if math.isfinite(value) else "no finite number"
    if isinstance(value, str):
        return "text"
    if isinstance(value, Mapping):
        return "a mapping"
    return "a list" if isinstance(value, Sequence) else "nothing"


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value
