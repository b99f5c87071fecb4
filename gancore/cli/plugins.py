"""``gancore plugins``: list what is installed and its faults; ``check`` a plugin, write a ``new`` one."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gancore.cli.options import JsonOption, StrictPluginsOption, complete_domain
from gancore.console import print_json, print_line, print_table

if TYPE_CHECKING:
    from gancore.plugins import PluginInfo

COLUMNS = ("plugin", "version", "distribution", "state", "registers")

app = typer.Typer(rich_markup_mode=None)


@app.callback(invoke_without_command=True)
def plugins(
    context: typer.Context,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="With the names that each registers.")
    ] = False,
    as_json: JsonOption = False,
    strict_plugins: StrictPluginsOption = False,
) -> None:
    """List plugins with what they register and their state; check one, or write a new one."""
    if context.invoked_subcommand is not None:
        return None
    from gancore.plugins import plugins as registry

    registry().strict = strict_plugins
    registry().load_all()
    found = registry().list_plugins()
    if as_json:
        return print_json([asdict(plugin) for plugin in found])
    if not found:
        return print_line("no plugins are installed; each domain is one, in a distribution of its own")
    print_table(COLUMNS, [_row(plugin, verbose) for plugin in found])
    for plugin in found:
        if plugin.state == "disabled":  # faults are printed on stderr when a plugin is loaded
            print_line(f"{plugin.name} is {plugin.reason}")


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


@app.command()
def check(
    name: Annotated[str, typer.Argument(help="The plugin, or its domain.", autocompletion=complete_domain)],
    recipe: Annotated[str | None, typer.Option(help="Only this one of its recipes.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Check that a plugin keeps the contract: one check a line. Exit code 2 if one fails.

    The checks are those of gancore.testing.DomainConformance, on the domain's tiny data.
    """
    from gancore.plugins.surface import surface_warning
    from gancore.testing.kit import ConformanceKit, failure_of, summary_of

    kit, results = ConformanceKit.for_name(name), []
    for result in kit.run(recipe):
        results.append(result)
        if not as_json:
            print_line(f"{result.state:<8}{result.subject:<24} {result.check:<26} {result.text}")
    error = failure_of(kit.plugin.subject, results)
    if warning := surface_warning(kit.plugin.info.module):
        print_line(warning, to_stderr=True)
    if not as_json:
        print_line(summary_of(results))
        if error is not None:
            raise error
        return
    print_json({"plugin": name, "ok": error is None, "checks": [asdict(result) for result in results]})
    if error is not None:  # stdout holds one document
        print_line(f"error: {error}", to_stderr=True)
        raise typer.Exit(error.exit_code)


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="The domain's name: a-z, 0-9 and dashes.")],
    out: Annotated[
        Path | None, typer.Option(help="The folder for the project; default: gancore-NAME, here.")
    ] = None,
) -> None:
    """Write the project of a new plugin that works.

    It is a small domain to be changed file by file. It installs, keeps the contract and trains.
    """
    from gancore.scaffold import write_project

    folder = out or Path(f"gancore-{name}")
    for file in write_project(name, folder):
        print_line(file)
    path = shlex.quote(str(folder) if folder.is_absolute() else f"./{folder}")
    print_line(f"next: pip install -e {path} && gancore plugins check {name}")
