"""A domain and a recipe of every kind of key, registered in a registry of their own."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Literal

from pydantic import Field

from gancore.config import DataConfig, RecipeConfig, Section
from gancore.domain import Domain
from gancore.entries import CommandEntry, DomainEntry, PretrainedModelEntry, RecipeEntry
from gancore.hookspecs import hookimpl
from gancore.plugins import PluginRegistry
from gancore.recipe import Recipe


class Penalty(Section):
    gamma: float = Field(default=1.0, ge=0, description="strength")
    every: int = Field(default=16, ge=1, description="steps between two")


class ToyData(DataConfig):
    sample_rate_hz: int | None = Field(default=None, ge=1, le=192_000, description="samples per second")
    labels: bool = Field(default=False, description="whether to read labels")


class ToyModel(RecipeConfig):
    width: int = Field(default=16, ge=1, le=4096, description="channels of the first layer")
    rate: float = Field(default=2e-4, gt=0, description="learning rate")
    loss: Literal["nonsaturating", "hinge"] = Field(default="nonsaturating", description="the game's loss")
    sizes: list[int] = Field(default=[4, 8], description="widths of the layers")
    shape: tuple[int, int] = Field(default=(2, 3), description="rows and columns")
    weights: dict[str, float] = Field(default_factory=dict, description="by name")
    folder: Path | None = Field(default=None, description="a folder")
    note: str = Field(default="", description="free text")
    penalty: Penalty = Field(default_factory=Penalty, description="what steadies it")
    extra: Penalty | None = Field(default=None, description="a second one")


class Toy(Domain):
    name = "toy"
    Config = ToyData
    recipes = {
        "lite": RecipeEntry("lite", f"{__name__}:Lite", "the small one"),
        "plain": RecipeEntry("plain", f"{__name__}:Plain", "no key of its own"),
    }


class Lite(Recipe):
    Config = ToyModel


class Plain(Recipe):
    pass


@hookimpl
def gancore_domains() -> list[DomainEntry]:
    return [DomainEntry("toy", f"{__name__}:Toy", "a toy")]


@hookimpl
def gancore_models() -> list[PretrainedModelEntry]:
    return [
        PretrainedModelEntry(
            "toy/one",
            "https://example.org/one.zip",
            "a trained toy",
            domain="toy",
            licence="CC0",
            sha256="0" * 64,
        )
    ]


def make_commands() -> object:
    import typer

    commands = typer.Typer()

    @commands.command()
    def wind(times: int = 1) -> None:
        typer.echo(f"wound {times} times")

    return commands


@hookimpl
def gancore_commands() -> list[CommandEntry]:
    return [CommandEntry("toys", f"{__name__}:commands", "play with toys")]


commands = make_commands()


def registry() -> PluginRegistry:
    """A registry that knows this module and nothing that is installed."""
    found = PluginRegistry()
    found._found.clear()
    hooks = {name: value for name, value in globals().items() if name.startswith("gancore_")}
    found.register(SimpleNamespace(__name__=__name__, **hooks), "toy")
    return found
