"""A grid over settings: every recipe under every combination of the values that are tried."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Container, Mapping, Sequence
from itertools import count, product
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
    ``a-width-16``, and has the settings that are for ``a`` as well; of several whose names would be equal the
    second is ``a-width-16-2``.

    Raises:
        ConfigError: a text is not of that form, or names a key or a value twice, or a single value; more
            than ``MOST`` combinations.
    """
    axes = [_axis(text) for text in grid]
    keys = [key for key, _ in axes]
    if len(set(keys)) < len(keys):
        raise ConfigError(f"--grid names {max(keys, key=keys.count)} twice", "give all its values at once")
    combinations = math.prod(len(values) for _, values in axes)
    if combinations > MOST:
        raise ConfigError(f"--grid has {combinations:,} combinations", f"give {MOST} at most")
    if not axes:
        return dict(recipes), list(settings)
    points = list(product(*(values for _, values in axes)))
    made: dict[str, str] = {}
    told = [text for text in settings if _owner(text, recipes) == ""]
    for name, recipe in recipes.items():
        own = [text.partition(":")[2] for text in settings if _owner(text, recipes) == name]
        for point in points:
            called = "-".join([name, *(_called(key, value) for key, value in zip(keys, point, strict=True))])
            called = _free(called, made)
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
    written = [_written(value) for value in given]
    if len(set(written)) < len(written):
        twice = max(written, key=written.count)
        raise ConfigError(f"{where} gives {short(twice)} twice", "give each value once")
    return key.strip(), written


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _called(key: str, value: str) -> str:
    return re.sub(r"[^\w.-]+", "-", f"{key.rpartition('.')[2]}-{value}").strip("-")


def _free(name: str, taken: Container[str]) -> str:
    """``name``, or the first of ``name-2``, ``name-3``, ... that is not taken."""
    numbered = (name if number == 1 else f"{name}-{number}" for number in count(1))
    return next(found for found in numbered if found not in taken)


def _owner(text: str, recipes: Mapping[str, str]) -> str:
    """Whom a setting is for; empty: all of them, or somebody who is not compared."""
    name, colon, _ = text.partition("=")[0].partition(":")
    return name if colon and name in recipes else ""
