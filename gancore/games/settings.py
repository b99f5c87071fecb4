"""Settings of a dataclass by name, as a configuration gives them: checked by its type hints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, TypeVar, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from gancore.errors import ConfigError, nearest

Made = TypeVar("Made")


def make_with_settings(kind: type[Made], settings: Mapping[str, object], name: str, where: str) -> Made:
    """``kind(**settings)``; JSON's lists become tuples where the hint says so, whole numbers become floats.

    ``where`` is the configuration's key, ``name`` what the configuration calls the kind.

    Raises:
        ConfigError: no such setting, a value of another type, or a setting that is required and left out.
    """
    known = {field.name: field for field in fields(kind) if field.init} if is_dataclass(kind) else {}
    for key in settings:
        if key not in known:
            raise ConfigError(f"{where}: {name} has no {key!r}", nearest(key, known))
    missing = [key for key, field in known.items() if _required(field) and key not in settings]
    if missing:
        raise ConfigError(f"{where}: {name} needs {missing[0]!r}", f"give --set {where}.{missing[0]}=...")
    hints = _hints(kind)
    values = {
        key: _read(value, hints.get(key, Any), known[key], f"{where}.{key}")
        for key, value in settings.items()
    }
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where} of {name}: {error}", "give other settings") from error


def _required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _hints(kind: type) -> Mapping[str, Any]:
    """By name; where they cannot be evaluated (a name that only type checkers import), none."""
    try:
        return get_type_hints(kind)
    except Exception:
        return {}


def _read(value: object, hint: Any, field: Field[Any], where: str) -> object:
    """The value as its hint wants it; without a usable hint, as its default is."""
    try:
        adapter = TypeAdapter(type(field.default) if hint is Any and not _required(field) else hint)
        return adapter.validate_json(json.dumps(value, allow_nan=False), strict=True)
    except (ValidationError, ValueError, TypeError, PydanticUserError) as error:
        if isinstance(error, PydanticUserError):
            raise ConfigError(
                f"{where}: {hint} is no type that a configuration can give", "leave it out"
            ) from error
        like = "" if _required(field) or field.default is MISSING else f" like {field.default!r}"
        raise ConfigError(f"{where}: {value!r}", f"give one{like} ({_shown(hint)})") from None


def _shown(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and not hasattr(hint, "__args__") else str(hint)
