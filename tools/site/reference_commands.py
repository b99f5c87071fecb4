"""The page of commands: every command with its options, as it parses them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from reference_tables import code, plain, table


def commands() -> str:
    """Every command with its options."""
    import typer

    from gancore.cli.app import app

    top = typer.main.get_command(app)
    parts = [
        "# Commands",
        "As `gancore COMMAND --help` prints them. [Exit codes](../configuration.md#exit-codes).",
    ]
    for words, command in _commands(top, ("gancore",)):
        parts += _command(" ".join(words), command)
    return "\n\n".join(parts)


def _commands(group: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All commands below a group; those of plugins are loaded."""
    import typer

    from gancore.plugins import plugins

    context = group.context_class(group, info_name=" ".join(words))
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if hasattr(command, "entry"):
            command = typer.main.get_command(plugins().load_object(command.entry))
        below = (*words, name)
        if not hasattr(command, "commands") or getattr(command, "invoke_without_command", False):
            yield below, command
        if hasattr(command, "commands"):
            yield from _commands(command, below)


def _command(name: str, command: Any) -> Iterator[str]:
    context = command.context_class(command, info_name=name)
    records = (each.get_help_record(context) for each in command.get_params(context))
    rows = [(code(left), right) for left, right in filter(None, records) if "--help" not in left]
    yield f"## {name}"
    yield plain(command.help or "")
    yield table(["argument or option", "meaning"], rows)
