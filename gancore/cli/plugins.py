"""``gancore plugins``: list installed plugins and their errors, ``check`` a plugin, write a ``new`` one."""

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
        bool, typer.Option("--verbose", "-v", help="Also print the names that each plugin registers.")
    ] = False,
    as_json: JsonOption = False,
    strict_plugins: StrictPluginsOption = False,
) -> None:
    """List plugins with their entries and states; check a plugin, or write a new one."""
    if context.invoked_subcommand is not None:
        return None
    from gancore.plugins import plugins as registry

    registry().strict = strict_plugins
    registry().load_all()
    found = registry().list_plugins()
    if as_json:
        return print_json([asdict(plugin) for plugin in found])
    if not found:
        return print_line("no plugins are installed; every domain is a plugin with its own distribution")
    print_table(COLUMNS, [_row(plugin, verbose) for plugin in found])
    for plugin in found:
        if plugin.state == "disabled":  # errors are printed on stderr when a plugin is loaded
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
    recipe: Annotated[str | None, typer.Option(help="Check this recipe only.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Check that a plugin keeps the contract. Prints a line for each check; exit code 2 if a check fails.

    The checks are those of gancore.testing.DomainConformance, with the tiny data of the domain.
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
    if error is not None:  # stdout is one JSON document
        print_line(f"error: {error}", to_stderr=True)
        raise typer.Exit(error.exit_code)


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Name of the domain: a-z, 0-9 and dashes.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder of the project. Default: gancore-NAME in this folder.")
    ] = None,
) -> None:
    """Write the project of a new plugin: a small domain that installs, passes all checks and trains."""
    from gancore.scaffold import write_project

    folder = out or Path(f"gancore-{name}")
    for file in write_project(name, folder):
        print_line(file)
    path = shlex.quote(str(folder) if folder.is_absolute() else f"./{folder}")
    print_line(f"next: pip install -e {path} && gancore plugins check {name}")
