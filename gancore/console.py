"""What commands print with, those of plugins included: lines, JSON documents, tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import typer

from gancore.text import escape_control, format_duration

__all__ = ["format_duration", "print_json", "print_line", "print_table", "progress_printer"]


def print_line(text: object, to_stderr: bool = False, newline: bool = True) -> None:
    """Print text that may come from untrusted files: control characters are escaped."""
    typer.echo(escape_control(str(text)), err=to_stderr, nl=newline)


def print_json(value: Any) -> None:
    """Print one JSON document on one line, so that a program can read it from the last line of stdout."""
    print_line(json.dumps(value, default=str, ensure_ascii=False))


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns under their names; the last cell of a row is not padded."""
    lines = [[*head], *([" ".join(cell.split()) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        print_line("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def progress_printer(quiet: bool) -> Callable[[str], None]:
    """A function that prints progress lines on stderr; with ``quiet`` it discards them."""
    return lambda line: None if quiet else print_line(line, to_stderr=True)
