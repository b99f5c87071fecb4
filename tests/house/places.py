"""Where things stand in the repository, and how its files are read."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "gancore"
PACKAGES = sorted(path for path in ROOT.glob("plugins/*/gancore_*") if path.is_dir())
DISTRIBUTIONS = [ROOT, *(package.parent for package in PACKAGES)]
QUICK = {"OMP_NUM_THREADS": "1", "GANCORE_TRACEBACK": "1"}


def sources(*roots: Path) -> list[Path]:
    return sorted(path for root in roots for path in root.rglob("*.py"))


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of all that a file imports, wherever in it; ``from a import b`` is ``a.b``."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def is_below(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def run(words: list[str], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """A program in ``folder``, with this interpreter's commands first on the path."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = {**os.environ, **QUICK, "PATH": path, **variables}
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
