"""``gancore cache``: what is kept to save time, how large it is, and its removal."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from gancore.cli.shared import print_json, print_table, say
from gancore.errors import ConfigError
from gancore.texts import counted

if TYPE_CHECKING:
    from gancore.data.kept import Kept

HEAD = ("kind", "size", "last used", "what")

app = typer.Typer(
    rich_markup_mode=None, no_args_is_help=True, help="List or clear what is kept to save time."
)


@app.command("list")
def list_kept(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, item by item.")] = False,
) -> None:
    """List what the cache holds: prepared data, downloads, what evaluations keep."""
    from gancore.data.kept import kept_items
    from gancore.data.sources import cache_folder

    items = kept_items()
    if as_json:
        return print_json([asdict(item) for item in items])
    rows = [_row(item.group, [item], item.about) for item in items if item.about]
    files = [item for item in items if not item.about]
    for group in sorted({item.group for item in files}):
        inside = [item for item in files if item.group == group]
        rows.append(_row(group, inside, counted(len(inside), "file")))
    if rows:
        print_table(HEAD, rows)
    return say(f"{_size(sum(item.size for item in items))} in {cache_folder()}")


@app.command()
def clear(
    unused_for: Annotated[
        float | None, typer.Option(metavar="DAYS", min=0, help="What was not used for so many days.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of it, downloads too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="What was removed as JSON.")] = False,
) -> None:
    """Remove what the cache holds: what was not used for some days, or all. It is made again when needed."""
    from gancore.data import kept

    if everything == (unused_for is not None):
        raise ConfigError("what should be removed is not said", "give one of --unused-for DAYS and --all")
    items = kept.kept_items()
    gone, held = kept.clear(items if unused_for is None else kept.unused_for(items, unused_for))
    if as_json:
        return print_json({"removed": [str(item.path) for item in gone], "held": [str(i.path) for i in held]})
    say(f"{counted(len(gone), 'item')} removed, {_size(sum(item.size for item in gone))}")
    for item in held:
        say(f"kept, since another process holds it or it is not ours to remove: {item.path}")
    return None


def _row(group: str, items: Sequence[Kept], about: str) -> tuple[str, str, str, str]:
    last = max(item.used for item in items)
    return (
        group,
        _size(sum(item.size for item in items)),
        time.strftime("%Y-%m-%d", time.localtime(last)),
        about,
    )


def _size(count: int) -> str:
    return f"{count / 2**30:,.1f} GiB" if count >= 1 << 30 else f"{count / 2**20:,.1f} MiB"
