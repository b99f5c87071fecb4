"""Tables of Markdown, as the pages of docs/reference have them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

LONG = 100
"""Values of more characters are left to ``--print-config``."""


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table of Markdown; an upright line in a cell is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(value: object) -> str:
    return plain(str(value)).replace("|", "\\|")


def plain(text: str) -> str:
    """Text on one line, without marks of Sphinx; ``<`` is escaped, except in code."""
    parts = " ".join(text.split()).replace("``", "`").replace(":data:", "").split("`")
    return "`".join(part if number % 2 else part.replace("<", "&lt;") for number, part in enumerate(parts))


def code(text: str) -> str:
    return f"`{text}`" if text else ""


def first_line(thing: object) -> str:
    """The first paragraph of a docstring on one line."""
    return " ".join((getattr(thing, "__doc__", "") or "").strip().split("\n\n")[0].split())


def value_text(default: Any) -> str:
    """As ``--set`` reads it; a long mapping is only counted."""
    text = json.dumps(default, ensure_ascii=False)
    return text if len(text) <= LONG else f"({len(default)} of them: --print-config)"
