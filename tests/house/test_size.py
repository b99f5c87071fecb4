"""A file is read in one sitting, a function at one glance; what is meant for people says what it is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from places import CORE, PACKAGES, shown, sources

import gancore

FILE_LINES, FUNCTION_LINES = 450, 40


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """From the docstring to the end. Tables are not counted: the signature, and ``Args:``."""
    text = ast.get_docstring(function) or ""
    table = re.search(r"^Args:\n(?:    .*\n)*", text, re.MULTILINE)
    described = table[0].count("\n") if table else 0
    return (function.end_lineno or 0) - function.body[0].lineno + 1 - described


def test_files_are_short():
    counts = {shown(path): len(path.read_text().splitlines()) for path in sources(CORE, *PACKAGES)}
    assert {name: count for name, count in counts.items() if count > FILE_LINES} == {}


def test_functions_are_short():
    lengths = {
        f"{shown(path)}:{function.lineno} {function.name}": length(function)
        for path in sources(CORE, *PACKAGES)
        for function in functions(path)
    }
    assert {name: count for name, count in lengths.items() if count > FUNCTION_LINES} == {}


def test_every_public_name_says_what_it_is():
    texts = {
        name: getattr(gancore, name).__doc__ or "" for name in gancore.__all__ if name != "CONTRACT_VERSION"
    }
    # a dataclass without a docstring gets its signature for one
    assert [name for name, text in texts.items() if not text.strip() or text.startswith(f"{name}(")] == []


def test_every_module_says_what_it_holds():
    texts = {shown(path): path.read_text() for path in sources(CORE, *PACKAGES)}
    assert [name for name, text in texts.items() if text and not ast.get_docstring(ast.parse(text))] == []
