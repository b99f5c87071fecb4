"""What a configuration names: the core's own things of a kind, and those that plugins register."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gancore.errors import ConfigError, nearest


def find_named(what: str, name: str, own: Mapping[str, Any], hook: str) -> Any:
    """``own[name]``, or the object that a plugin registered under this name by ``hook``.

    Raises:
        ConfigError: nothing of the kind ``what`` has this name.
    """
    if name in own:
        return own[name]
    from gancore.plugins import plugins

    entries = {entry.name: entry for entry in plugins().records(hook)}
    if name not in entries:
        raise ConfigError(f"no {what} is named {name!r}", nearest(name, [*own, *entries]))
    return plugins().resolve(entries[name])
