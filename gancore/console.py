"""Printing for commands, also those of plugins: lines, JSON documents, tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import typer

from gancore.errors import ConfigError
from gancore.progress import silent
from gancore.text import escape_control, format_duration, short_repr

__all__ = [
    "count_option",
    "duration_option",
    "format_duration",
    "print_json",
    "print_line",
    "print_table",
    "progress_printer",
]


def print_line(text: object, to_stderr: bool = False, newline: bool = True) -> None:
    """Print text that may come from untrusted files: control characters are escaped."""
    typer.echo(escape_control(str(text)), err=to_stderr, nl=newline)


def print_json(value: Any) -> None:
    """Print a JSON document on one line, which a program reads as the last line of stdout."""
    print_line(json.dumps(value, default=str, ensure_ascii=False))


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns with names; the last cell of a row is not padded."""
    lines = [[*head], *([" ".join(cell.split()) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        print_line("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def progress_printer(quiet: bool) -> Callable[[str], None]:
    """A function that prints lines of progress on stderr; nothing if ``quiet``."""
    return silent if quiet else partial(print_line, to_stderr=True)


def duration_option(text: str, flag: str = "--time") -> float:
    """Parse the seconds of an option: 90s, 10m, 2h or a number. Raises ConfigError."""
    from gancore.budget import parse_duration

    try:
        return float(parse_duration(text))
    except ValueError as error:
        raise ConfigError(f"{flag} {short_repr(text)}: {error}", "give 90s, 10m, 2h or seconds") from None


def count_option(text: str, flag: str = "--steps") -> int:
    """Parse the integer of an option: 20000 or 2e4. Raises ConfigError."""
    from gancore.budget import parse_count

    try:
        return int(parse_count(text))
    except ValueError as error:
        raise ConfigError(f"{flag} {short_repr(text)}: {error}", "give an integer, as 20000 or 2e4") from None
