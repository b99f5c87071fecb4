"""Losses, dynamics and the like by name, and dataclasses built from settings of a configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, TypeVar, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

import gancore.plugins
from gancore.errors import ConfigError
from gancore.text import suggestion

T = TypeVar("T")


def find_by_name(kind: str, name: str, builtin: Mapping[str, Any], hook: str) -> Any:
    """``builtin[name]``, or the object that a plugin registered under this name by ``hook``.

    Raises:
        ConfigError: no ``kind`` has this name.
    """
    if name in builtin:
        return builtin[name]
    registry = gancore.plugins.plugins()
    entries = {entry.name: entry for entry in registry.entries(hook)}
    if name not in entries:
        raise ConfigError(f"no {kind} is named {name!r}", suggestion(name, [*builtin, *entries]))
    return registry.load_object(entries[name])


def build_with_settings(
    cls: type[T],
    settings: Mapping[str, object],
    name: str,
    key: str,
    given: Mapping[str, object] | None = None,
) -> T:
    """``cls(**settings)``. By the type hints, lists of JSON become tuples and integers become floats.

    ``key`` is the key of the settings in the configuration, ``name`` the name of the class there, ``given``
    are arguments that do not come from the settings, which replace them.

    Raises:
        ConfigError: no such setting, a value of another type, or a missing required setting.
    """
    known = {field.name: field for field in fields(cls) if field.init} if is_dataclass(cls) else {}
    given = given or {}
    for setting in settings:
        if setting not in known:
            raise ConfigError(f"{key}: {name} has no {setting!r}", suggestion(setting, known))
    missing = [
        setting
        for setting, field in known.items()
        if _required(field) and setting not in {**settings, **given}
    ]
    if missing:
        raise ConfigError(f"{key}: {name} needs {missing[0]!r}", f"give --set {key}.{missing[0]}=...")
    hints = _hints(cls)
    values = {
        setting: _convert(value, hints.get(setting, Any), known[setting], f"{key}.{setting}")
        for setting, value in settings.items()
    }
    try:
        return cls(**{**given, **values})
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{key} of {name}: {error}", "give other settings") from error


def _required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _hints(cls: type) -> Mapping[str, Any]:
    """Type hints by name; none if they cannot be evaluated (a name that only type checkers import)."""
    try:
        return get_type_hints(cls)
    except Exception:
        return {}


def _convert(value: object, hint: Any, field: Field[Any], key: str) -> object:
    """The value, converted to the type of its hint, or without a hint to that of its default."""
    try:
        adapter = TypeAdapter(type(field.default) if hint is Any and not _required(field) else hint)
        return adapter.validate_json(json.dumps(value, allow_nan=False), strict=True)
    except (ValidationError, ValueError, TypeError, PydanticUserError) as error:
        if isinstance(error, PydanticUserError):
            raise ConfigError(f"{key}: a configuration cannot give a {hint}", "leave it out") from error
        example = "" if _required(field) or field.default is MISSING else f" like {field.default!r}"
        raise ConfigError(f"{key}: {value!r}", f"give one{example} ({_type_name(hint)})") from None


def _type_name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and not hasattr(hint, "__args__") else str(hint)
