"""Who may import whom: the rooms of the house have doors, and nobody climbs through a window."""

from __future__ import annotations

import ast

import pytest
from places import CORE, PACKAGES, imports, is_below, shown, sources

CLOSED = {  # a room of the core, and rooms that it must not know
    "games": ("training", "api", "cli"),
    "nn": ("training", "api", "cli", "games"),
    "runtime": ("training", "api", "cli", "games", "nn", "models", "data"),
    "evaluation": ("games",),
    "plugins": ("training", "api", "cli", "games"),
}


def private_parts(name: str) -> list[str]:
    return [part for part in name.split(".") if part.startswith("_") and not part.startswith("__")]


def test_plugins_import_only_public_names_of_the_core():
    broken = [
        f"{shown(path)}:{line} {name}"
        for path in sources(*(package.parent for package in PACKAGES))
        for line, name in imports(path)
        if is_below(name, "gancore") and private_parts(name)
    ]
    assert broken == []


def test_plugins_touch_no_private_attribute_of_another_object():
    def reaches_in(node: ast.AST) -> bool:
        return (
            isinstance(node, ast.Attribute)
            and node.attr.startswith("_")
            and not node.attr.startswith("__")
            and not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls", "torch"))
        )

    broken = [
        f"{shown(path)}:{node.lineno} {node.attr}"
        for path in sources(*PACKAGES)
        for node in ast.walk(ast.parse(path.read_text()))
        if reaches_in(node)
    ]
    assert broken == []


def test_the_core_imports_no_plugin():
    broken = [
        f"{shown(path)}:{line} {name}"
        for path in sources(CORE)
        for line, name in imports(path)
        if name.startswith("gancore_")
    ]
    assert broken == []


@pytest.mark.parametrize(("room", "closed"), CLOSED.items(), ids=CLOSED)
def test_rooms_of_the_core_know_only_what_they_stand_on(room, closed):
    broken = [
        f"{shown(path)}:{line} {name}"
        for path in sources(CORE / room)
        for line, name in imports(path)
        if any(is_below(name, f"gancore.{other}") for other in closed)
    ]
    assert broken == []


def test_nothing_is_imported_by_a_relative_name():
    broken = [
        f"{shown(path)}:{line} {name}"
        for path in sources(CORE, *PACKAGES)
        for line, name in imports(path)
        if name.startswith(".")
    ]
    assert broken == []
