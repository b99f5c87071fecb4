"""What several commands share: tables, JSON, the choices that a shell completes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import typer

from gancore.errors import printable


def say(text: object, to_stderr: bool = False, newline: bool = True) -> None:
    """Print what may hold foreign text: it cannot command the terminal."""
    typer.echo(printable(str(text)), err=to_stderr, nl=newline)


def print_json(value: Any) -> None:
    """One JSON document on one line, so that a program can read it from the last line of stdout."""
    say(json.dumps(value, default=str, ensure_ascii=False))


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns under their names; what follows a row's last column is not padded."""
    lines = [[*head], *([" ".join(cell.split()) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        say("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def listed(names: str | None) -> list[str] | None:
    """``a,b`` as a list; None stays."""
    return None if names is None else [name.strip() for name in names.split(",") if name.strip()]


def duration(seconds: float) -> str:
    """``48 s``, ``12 min``, ``3.2 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def complete_domain(incomplete: str) -> list[str]:
    """Names of installed plugins, from metadata alone: a shell waits for this."""
    from gancore.plugins import plugins

    return [plugin.name for plugin in plugins().listing() if plugin.name.startswith(incomplete)]


def complete_recipe(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Recipes of the domain that the line names so far."""
    from gancore.errors import GancoreError
    from gancore.plugins import plugins

    domain = ctx.params.get("domain")
    if not domain:
        return []
    try:
        found = plugins().recipes(plugins().domain(domain))
    except GancoreError:
        return []
    return [(name, entry.summary) for name, entry in found.items() if name.startswith(incomplete)]
