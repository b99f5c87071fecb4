"""A grid over settings: every recipe under every combination of the values that are tried."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from gancore.config_text import read_value, short
from gancore.errors import ConfigError

MOST = 100
"""Combinations of one recipe; each is a training under each seed."""


def with_grid(
    recipes: Mapping[str, str], settings: Sequence[str], grid: Sequence[str]
) -> tuple[dict[str, str], list[str]]:
    """Recipes and settings of a comparison, each recipe once for every point of the grid.

    ``grid`` holds ``"key=value,value,..."``. A recipe ``a`` with ``model.width`` at 16 is called
    ``a-width-16``, and has the settings that are for ``a`` as well.

    Raises:
        ConfigError: a text is not of that form, or names a key twice or a single value.
    """
    axes = [_axis(text) for text in grid]
    keys = [key for key, _ in axes]
    if len(set(keys)) < len(keys):
        raise ConfigError(f"--grid names {max(keys, key=keys.count)} twice", "give all its values at once")
    points = list(product(*(values for _, values in axes)))
    if len(points) > MOST:
        raise ConfigError(f"--grid has {len(points):,} combinations", f"give {MOST} at most")
    if not axes:
        return dict(recipes), list(settings)
    made: dict[str, str] = {}
    told = [text for text in settings if _owner(text, recipes) == ""]
    for name, recipe in recipes.items():
        own = [text.partition(":")[2] for text in settings if _owner(text, recipes) == name]
        for point in points:
            called = "-".join([name, *(_called(key, value) for key, value in zip(keys, point, strict=True))])
            made[called] = recipe
            told += [f"{called}:{text}" for text in own]
            told += [f"{called}:{key}={value}" for key, value in zip(keys, point, strict=True)]
    return made, told


def _axis(text: str) -> tuple[str, list[str]]:
    key, equals, values = text.partition("=")
    where = f"--grid {short(text)}"
    given = read_value(f"[{values}]", where) if equals and key.strip() else None
    if not isinstance(given, list) or len(given) < 2 or "." not in key:
        raise ConfigError(f"{where} gives no values to try", "write --grid section.key=value,value,...")
    return key.strip(), [_written(value) for value in given]


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _called(key: str, value: str) -> str:
    return re.sub(r"[^\w.-]+", "-", f"{key.rpartition('.')[2]}-{value}").strip("-")


def _owner(text: str, recipes: Mapping[str, str]) -> str:
    """Whom a setting is for; empty: all of them, or somebody who is not compared."""
    name, colon, _ = text.partition("=")[0].partition(":")
    return name if colon and name in recipes else ""
