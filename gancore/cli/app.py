"""The commands of gancore and of plugins."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from gancore import __version__
from gancore.cli.cache import app as cache_app
from gancore.cli.compare import compare
from gancore.cli.evaluate import evaluate
from gancore.cli.export import export
from gancore.cli.generate import animate, generate, neighbours
from gancore.cli.info import info
from gancore.cli.models import app as models_app
from gancore.cli.page import app as page
from gancore.cli.plugins import app as plugins_app
from gancore.cli.summaries import recipes, runs
from gancore.cli.sweep import app as sweep_app
from gancore.cli.train import train
from gancore.console import print_line
from gancore.entries import CommandEntry


class PluginCommand(TyperCommand):
    """The command group of a plugin, which is listed by its entry and imported when it is called."""

    def __init__(self, entry: CommandEntry) -> None:
        super().__init__(name=entry.name, callback=None, help=entry.summary, rich_markup_mode=None)
        self.entry = entry

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        from gancore.plugins import plugins

        command = typer.main.get_command(plugins().load_object(self.entry))
        return command.make_context(info_name, args, parent, **extra)


class CommandGroup(TyperGroup):
    """The built-in commands, followed by commands of plugins, which are loaded when they are needed."""

    def list_commands(self, ctx: Any) -> list[str]:
        builtin = super().list_commands(ctx)
        return [*builtin, *sorted(self._plugin_commands().keys() - set(builtin))]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        builtin = super().get_command(ctx, cmd_name)
        return builtin or self._plugin_commands().get(cmd_name)

    def _plugin_commands(self) -> dict[str, PluginCommand]:
        from gancore.plugins import plugins

        entries = plugins().entries("gancore_commands")
        return {entry.name: PluginCommand(entry) for entry in entries if isinstance(entry, CommandEntry)}


app = typer.Typer(
    cls=CommandGroup,
    help="Train adversarial generative models and likelihood models in any domain, in one loop.",
    rich_markup_mode=None,  # plain help halves the start-up time
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print_line(f"gancore {__version__}")
        raise typer.Exit()


@app.callback()
def gancore(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
    traceback: Annotated[
        bool, typer.Option("--traceback", help="Show the traceback of an error. Valid at any position.")
    ] = False,
) -> None:
    """Train adversarial generative models and likelihood models in any domain, in one loop."""


for command in (train, generate, neighbours, animate, export, evaluate, compare, runs, recipes, info):
    app.command()(command)
app.add_typer(sweep_app, name="sweep")
app.add_typer(models_app, name="models")
app.command("app")(page)
app.add_typer(plugins_app, name="plugins")
app.add_typer(cache_app, name="cache")
