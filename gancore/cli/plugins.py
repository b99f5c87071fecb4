"""``gancore plugins``: what is installed, what it registers, and what is wrong with it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from gancore.cli.shared import print_json, print_table

if TYPE_CHECKING:
    from gancore.plugins import PluginInfo

HEAD = ("plugin", "version", "distribution", "state", "registers")


def plugins(
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="With the names that each registers.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    strict_plugins: Annotated[
        bool, typer.Option("--strict-plugins", help="Stop at the first fault.")
    ] = False,
) -> None:
    """List plugins with what they register and their state."""
    from gancore.plugins import plugins as registry

    registry().strict = strict_plugins
    registry().load_all()
    found = registry().listing()
    if as_json:
        return print_json([asdict(plugin) for plugin in found])
    if not found:
        return typer.echo("no plugins are installed; each domain is one, in a distribution of its own")
    print_table(HEAD, [_row(plugin, verbose) for plugin in found])
    for plugin in found:
        if plugin.state == "disabled":  # faults are told on stderr when a plugin is loaded
            typer.echo(f"{plugin.name} is {plugin.reason}")


def _row(plugin: PluginInfo, verbose: bool) -> tuple[str, ...]:
    kinds = {hook.removeprefix("gancore_"): names for hook, names in plugin.registers.items()}
    if verbose:
        parts = [f"{kind}: {', '.join(names)}" for kind, names in kinds.items()]
        parts += [f"observes: {', '.join(plugin.observes)}"] if plugin.observes else []
    else:
        parts = [f"{len(names)} {kind}" for kind, names in kinds.items()]
        parts += [f"{len(plugin.observes)} observers"] if plugin.observes else []
    separator = "; " if verbose else ", "
    return plugin.name, plugin.version, plugin.distribution, plugin.state, separator.join(parts)
