"""The commands, and how those of plugins join them."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from gancore import __version__
from gancore.cli.cache import app as cache_app
from gancore.cli.compare import compare
from gancore.cli.evaluate import evaluate
from gancore.cli.film import film
from gancore.cli.generate import generate
from gancore.cli.info import info
from gancore.cli.models import models
from gancore.cli.neighbours import neighbours
from gancore.cli.plugins import app as plugins_app
from gancore.cli.recipes import recipes
from gancore.cli.runs import runs
from gancore.cli.shared import say
from gancore.cli.train import train
from gancore.records import CommandEntry


class PluginCommand(TyperCommand):
    """A plugin's command group: listed by its record, imported when it is called."""

    def __init__(self, entry: CommandEntry) -> None:
        super().__init__(name=entry.name, callback=None, help=entry.summary, rich_markup_mode=None)
        self.entry = entry

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        from gancore.plugins import plugins

        command = typer.main.get_command(plugins().resolve(self.entry))
        return command.make_context(info_name, args, parent, **extra)


class Commands(TyperGroup):
    """gancore's own commands, then those of plugins; plugins are loaded only where their commands matter."""

    def list_commands(self, ctx: Any) -> list[str]:
        own = super().list_commands(ctx)
        return [*own, *sorted(self._of_plugins().keys() - set(own))]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        own = super().get_command(ctx, cmd_name)
        return own or self._of_plugins().get(cmd_name)

    def _of_plugins(self) -> dict[str, PluginCommand]:
        from gancore.plugins import plugins

        entries = plugins().records("gancore_cli")
        return {entry.name: PluginCommand(entry) for entry in entries if isinstance(entry, CommandEntry)}


app = typer.Typer(
    cls=Commands,
    help="Train adversarial generative models in any domain, beside likelihood models, in one loop.",
    rich_markup_mode=None,  # plain help: half the start-up time
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        say(f"gancore {__version__}")
        raise typer.Exit()


@app.callback()
def gancore(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
    traceback: Annotated[
        bool, typer.Option("--traceback", help="Show where an error arose; may stand anywhere.")
    ] = False,
) -> None:
    """Train adversarial generative models in any domain, beside likelihood models, in one loop."""


for command in (train, generate, neighbours, film, evaluate, compare, runs, models, recipes, info):
    app.command()(command)
app.add_typer(plugins_app, name="plugins")
app.add_typer(cache_app, name="cache")
