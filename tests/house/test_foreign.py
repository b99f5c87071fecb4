"""Text and files of strangers meet the terminal and the reader through one door each."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from places import CORE, PACKAGES, shown, sources

PRINTERS = {"print", "typer.echo", "sys.stdout.write", "sys.stderr.write", "typer.secho", "click.echo"}
OWN = ("gancore/testing/", "gancore/scaffold/")
"""What reads and prints what the same program wrote."""

OF_STRANGERS = [
    path
    for folder in ("models", "training", "evaluation", "comparison")
    for path in sources(CORE / folder)
    if path.name
    not in ("pretrained_weights.py", "controls.py", "cache.py")  # a file that the user names; gancore's own
]
OF_STRANGERS += [
    CORE / name
    for name in ("summaries.py", "model_lookup.py", "visualize.py", "file_lock.py", "run_folder.py")
]
OF_STRANGERS += [CORE / "gallery.py", CORE / "media.py"]


def nodes(path: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(path.read_text()))


def is_safe(word: ast.expr) -> bool:
    """A constant, or what went through ``escape_control``."""
    return isinstance(word, ast.Constant) or (
        isinstance(word, ast.Call) and ast.unparse(word.func) == "escape_control"
    )


def unsafe_prints(path: Path) -> list[int]:
    every = list(nodes(path))
    called = [node for node in every if isinstance(node, ast.Call)]
    heads = {id(node.func) for node in called}
    lines = [
        node.lineno
        for node in called
        if (ast.unparse(node.func) in PRINTERS or ast.unparse(node.func).endswith("console.print"))
        and not all(is_safe(word) for word in node.args)
    ]
    as_values = [
        node.lineno
        for node in every
        if isinstance(node, ast.Name) and node.id == "print" and id(node) not in heads
    ]
    return lines + as_values


ALLOWED = {
    "gancore/evaluation/report.py": 2,
    "gancore/evaluation/temperature_report.py": 1,
    "gancore/models/card_text.py": 1,
}
"""Tables whose cells, and a card whose text, went through ``escape_control``."""


@pytest.mark.parametrize("path", sources(CORE, *PACKAGES), ids=shown)
def test_what_is_printed_went_through_printable(path):
    if not shown(path).startswith(OWN):
        assert len(unsafe_prints(path)) == ALLOWED.get(shown(path), 0), unsafe_prints(path)


READERS = {"read_bytes", "read_text", "open"}
INSIDE = {
    "gancore/comparison/report.py",
    "gancore/evaluation/catalogue.py",
    "gancore/models/export.py",
    "gancore/runtime/device.py",
}
"""They read templates and a table of the package, and what the system says of its memory."""
OPENERS = ("os", "Image", "domain", "model.domain", "self.domain", "self.home", "self")
"""Whose ``open`` is no file's."""


@pytest.mark.parametrize("path", OF_STRANGERS, ids=shown)
def test_files_of_strangers_are_read_as_regular_files(path):
    """By :func:`gancore.files.read_regular` and its like: no link is followed, no pipe waited for."""
    lines = [
        node.lineno
        for node in nodes(path)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in READERS
        and ast.unparse(node.func.value) not in OPENERS
    ]
    assert lines == [] or shown(path) in INSIDE
