"""``gancore recipes``: the ways to train a model, what each provides, and its keys."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from gancore.cli.shared import complete_domain, print_json, print_table, say

HEAD = ("recipe", "domain", "provides", "about")
KEYS = ("key", "default", "allowed", "about")


def recipes(
    recipe: Annotated[str | None, typer.Argument(help="Show the keys of this recipe.")] = None,
    domain: Annotated[
        str | None, typer.Option(help="Only recipes of this kind of data.", autocompletion=complete_domain)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, with the keys of each.")] = False,
) -> None:
    """List recipes and what their models provide; of a named one all keys, with defaults and ranges."""
    from gancore import listing
    from gancore.errors import ConfigError, nearest

    found = listing.recipes(domain)
    if recipe is not None:
        known = {each.name for each in found}
        found = [each for each in found if each.name == recipe]
        if not found:
            raise ConfigError(f"there is no recipe {recipe!r}", nearest(recipe, known))
    if as_json:
        return print_json([asdict(each) for each in found])
    rows = [
        (f"{each.name}{' (default)' if each.default else ''}", each.domain, ", ".join(each.provides))
        for each in found
    ]
    print_table(HEAD, [(*row, each.summary) for row, each in zip(rows, found, strict=True)])
    if recipe is None:
        return say("`gancore recipes RECIPE` shows the keys of one, with defaults and ranges")
    for each in found:
        say(f"\nkeys of {each.domain} {each.name}, for --set KEY=VALUE:")
        print_table(KEYS, [(key.key, str(key.default), key.allowed, key.about) for key in each.keys])
