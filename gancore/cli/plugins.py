"""``gancore plugins``: what is installed, what it registers, what is wrong with it; ``check``, ``new``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from gancore.cli.plugins_check import check
from gancore.cli.plugins_new import new
from gancore.cli.shared import print_json, print_table, say

if TYPE_CHECKING:
    from gancore.plugins import PluginInfo

HEAD = ("plugin", "version", "distribution", "state", "registers")

app = typer.Typer(rich_markup_mode=None)
app.command()(check)
app.command()(new)


@app.callback(invoke_without_command=True)
def plugins(
    context: typer.Context,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="With the names that each registers.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    strict_plugins: Annotated[
        bool, typer.Option("--strict-plugins", help="Stop at the first fault.")
    ] = False,
) -> None:
    """List plugins with what they register and their state; check one, or begin a new one."""
    if context.invoked_subcommand is not None:
        return None
    from gancore.plugins import plugins as registry

    registry().strict = strict_plugins
    registry().load_all()
    found = registry().listing()
    if as_json:
        return print_json([asdict(plugin) for plugin in found])
    if not found:
        return say("no plugins are installed; each domain is one, in a distribution of its own")
    print_table(HEAD, [_row(plugin, verbose) for plugin in found])
    for plugin in found:
        if plugin.state == "disabled":  # faults are told on stderr when a plugin is loaded
            say(f"{plugin.name} is {plugin.reason}")


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
