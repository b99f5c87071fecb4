"""``gancore cache``: list and delete items of the cache."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from gancore.cli.options import JsonOption
from gancore.console import print_json, print_line, print_table
from gancore.errors import ConfigError
from gancore.text import count_noun, format_size

if TYPE_CHECKING:
    from gancore.data.cache import CacheItem

COLUMNS = ("kind", "size", "last used", "what")

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="List or delete items of the cache.")


@app.command("list")
def list_cache(
    as_json: Annotated[bool, typer.Option("--json", help="Print every item as JSON.")] = False,
) -> None:
    """List the items of the cache: prepared data, downloads, results of evaluations."""
    from gancore.data.cache import cache_folder, cache_items

    items = cache_items()
    if as_json:
        return print_json([asdict(item) for item in items])
    rows = [_row(item.group, [item], item.about) for item in items if item.about]
    files = [item for item in items if not item.about]
    for group in sorted({item.group for item in files}):
        inside = [item for item in files if item.group == group]
        rows.append(_row(group, inside, count_noun(len(inside), "file")))
    if rows:
        print_table(COLUMNS, rows)
    return print_line(f"{format_size(sum(item.size for item in items))} in {cache_folder()}")


@app.command()
def clear(
    unused_for: Annotated[
        float | None,
        typer.Option(metavar="DAYS", min=0, help="Items that were not used for this number of days."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All items, including downloads.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Delete all items of the cache, or those not used for some days. They are made again when needed."""
    from gancore.data import cache

    if everything == (unused_for is not None):
        raise ConfigError("no items are selected", "give --unused-for DAYS or --all")
    items = cache.cache_items()
    removed, skipped = cache.delete_items(
        items if unused_for is None else cache.last_used_before(items, unused_for)
    )
    if as_json:
        return print_json(
            {"removed": [str(item.path) for item in removed], "held": [str(i.path) for i in skipped]}
        )
    print_line(
        f"{count_noun(len(removed), 'item')} removed, {format_size(sum(item.size for item in removed))}"
    )
    for item in skipped:
        print_line(f"not deleted (in use, or not created by gancore): {item.path}")
    return None


def _row(group: str, items: Sequence[CacheItem], about: str) -> tuple[str, str, str, str]:
    last = max(item.used for item in items)
    return (
        group,
        format_size(sum(item.size for item in items)),
        time.strftime("%Y-%m-%d", time.localtime(last)),
        about,
    )
