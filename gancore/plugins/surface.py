"""The modules of gancore that a plugin may import, and what it imports beside them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

SURFACE = (
    "gancore",
    "gancore.data",
    "gancore.errors",
    "gancore.games",
    "gancore.metrics",
    "gancore.nn",
    "gancore.plugins",
    "gancore.random",
    "gancore.testing",
    "gancore.text",
    "gancore.training",
)
"""Their ``__all__`` is public; of ``gancore.nn`` also its modules."""


def imports_outside_surface(source: str) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything that Python source imports from gancore and that is not public."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [(node.module, alias.name) for alias in node.names]
        else:
            continue
        for module, name in names:
            if module.partition(".")[0] == "gancore" and not _is_public(module, name):
                yield node.lineno, f"{module}.{name}".rstrip(".")


def _is_public(module: str, name: str) -> bool:
    """Whether ``from module import name`` (``import module``, if the name is empty) stays on the surface."""
    if f"{module}.{name}" in SURFACE:
        return True
    if module.startswith("gancore.nn.") or (module == "gancore.nn" and _is_module(f"{module}.{name}")):
        return not any(part.startswith("_") for part in f"{module}.{name}".split("."))
    return module in SURFACE and (not name or name in import_module(module).__all__)


def _is_module(name: str) -> bool:
    return find_spec(name) is not None


def surface_warning(module: str) -> str:
    """One line that names what the package ``module`` of a plugin imports outside the surface; or empty.

    A file that cannot be read or parsed is not looked at.
    """
    found: dict[str, str] = {}
    for file in _source_files(module):
        try:
            source = file.read_text(encoding="utf-8")
            outside = list(imports_outside_surface(source))
        except (OSError, ValueError, SyntaxError):
            continue
        for line, name in outside:
            found.setdefault(name, f"{file.name}:{line}")
    if not found:
        return ""
    name, where = next(iter(found.items()))
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return (
        f"warning: {module} imports {name} ({where}){more}, which may change with any release; "
        f"import from {', '.join(SURFACE)}"
    )


def _source_files(module: str) -> list[Path]:
    try:
        spec = find_spec(module)
    except (ImportError, ValueError, AttributeError):
        return []
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        return []
    file = Path(spec.origin)
    return sorted(file.parent.rglob("*.py")) if spec.submodule_search_locations else [file]
