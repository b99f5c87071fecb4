"""Which package may import which, and that no modules import one another in a circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from places import CORE, PACKAGES, imports, is_below, shown, sources

CLOSED = {  # a room of the core, and rooms that it must not know
    "games": ("training", "api", "cli"),
    "nn": ("training", "api", "cli", "games"),
    "runtime": ("training", "api", "cli", "games", "nn", "models", "data"),
    "evaluation": ("games",),
    "plugins": ("training", "api", "cli", "games"),
    "data": ("training", "evaluation", "games", "nn", "models", "plugins", "api", "cli"),
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


def test_roots_of_keys_are_made_in_one_file():
    broken = [
        f"{shown(path)}:{node.lineno}"
        for path in sources(CORE)
        if path != CORE / "random.py" and not path.is_relative_to(CORE / "testing")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("Key", "Key.of")
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


def imported_modules(path: Path) -> Iterator[str]:
    """Modules of the core that a file imports anywhere, but for its ``if TYPE_CHECKING:`` blocks."""

    def visit(node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            return
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = CORE.parent / f"{node.module}.{alias.name}".replace(".", "/")
                is_module = inner.with_suffix(".py").is_file() or (inner / "__init__.py").is_file()
                yield f"{node.module}.{alias.name}" if is_module else node.module
        for child in ast.iter_child_nodes(node):
            yield from visit(child)

    yield from (name for name in visit(ast.parse(path.read_text())) if is_below(name, "gancore"))


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The modules that import one another, directly or through others: strongly connected components."""
    reached: dict[str, set[str]] = {}
    for start in graph:
        found: set[str] = set()
        waiting = list(graph[start])
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += graph.get(name, ())
        reached[start] = found
    joined = {
        frozenset(b for b in graph if b in reached[a] and a in reached[b]) for a in graph if a in reached[a]
    }
    return sorted(sorted(names) for names in joined)


def test_circles_are_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}) == [["b", "c"]]


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(CORE.parent).with_suffix("").parts).removesuffix(".__init__")


def test_modules_of_the_core_import_one_another_in_no_circle():
    graph = {module_name(path): set(imported_modules(path)) - {module_name(path)} for path in sources(CORE)}
    graph["gancore"] = set()  # its public names are imported at first use
    assert circles(graph) == []


def test_the_core_imports_from_where_a_name_is_defined():
    """A name of a lazy package hides which module is imported, and so a circle."""
    lazy = {module_name(path) for path in sources(CORE) if "= attach(" in path.read_text()} - {"gancore"}
    own = {"gancore.plugins": {"PluginInfo", "PluginRegistry", "plugins"}}
    modules = {module_name(path) for path in sources(CORE)}
    broken = [
        f"{shown(path)}:{line} {name}"
        for path in sources(CORE)
        for line, name in imports(path)
        for package, _, last in [name.rpartition(".")]
        if package in lazy and name not in modules and last not in own.get(package, ())
    ]
    assert lazy and broken == []


def test_what_collapses_white_space_or_escapes_a_line_has_one_definition():
    names = ("one_line", "_one_line", "collapse_spaces", "_collapsed")
    found = [
        node.name
        for path in sources(CORE)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name in names
    ]
    assert sorted(found) == sorted(set(found)) and not {"_one_line", "_collapsed"} & set(found)
