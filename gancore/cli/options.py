"""Options that several commands share, and the completion of names in a shell."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer


def complete_domain(incomplete: str) -> list[str]:
    """Names of installed plugins, from their metadata only: a shell waits for the completion."""
    from gancore.plugins import plugins

    return [plugin.name for plugin in plugins().list_plugins() if plugin.name.startswith(incomplete)]


def complete_recipe(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Recipes of the domain that is already on the command line."""
    from gancore.errors import GancoreError
    from gancore.plugins import plugins

    domain = ctx.params.get("domain")
    if not domain:
        return []
    try:
        found = plugins().recipe_entries(plugins().load_domain(domain))
    except GancoreError:
        return []
    return [(name, entry.summary) for name, entry in found.items() if name.startswith(incomplete)]


def complete_model(incomplete: str) -> list[tuple[str, str]]:
    """Names of the models of plugins."""
    from gancore.plugins import plugins

    found = plugins().entries("gancore_models")
    return [(entry.name, entry.summary) for entry in found if entry.name.startswith(incomplete)]


def split_names(names: str | None) -> list[str] | None:
    """Split ``a,b`` into a list; None stays None."""
    return None if names is None else [name.strip() for name in names.split(",") if name.strip()]


RunOrModelArgument: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="RUN_OR_MODEL",
        help="A run or model folder, the id of a model (`gancore models`), or hub:OWNER/NAME.",
        autocompletion=complete_model,
    ),
]
RunsFolderArgument: TypeAlias = Annotated[Path, typer.Argument(help="The folder with the runs.")]
DomainOption: TypeAlias = Annotated[
    str | None,
    typer.Option(help="Kind of data; `gancore plugins` lists them.", autocompletion=complete_domain),
]
DataOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="A folder, file, pattern, URL, named data set or hub:OWNER/NAME. Default: built-in data."
    ),
]
DataRootOption: TypeAlias = Annotated[
    Path | None, typer.Option(help="Folder of named data sets. Default: GANCORE_DATA, or the cache.")
]
StepsOption: TypeAlias = Annotated[
    str | None, typer.Option(metavar="N", help="Budget in training steps: 20000 or 2e4.")
]
SamplesOption: TypeAlias = Annotated[
    str | None, typer.Option(metavar="N", help="Budget in training examples seen: 1e6.")
]
TimeOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Wall-clock budget with evaluation and checkpoints: 90s, 10m, 2h or seconds.",
    ),
]
RecipeOverridesOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="For all recipes; NAME:KEY=VALUE for one. May be repeated."
    ),
]
OtherDataOption: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="SOURCE", help="Data other than those of the training: a name or a path."),
]
MetricsOption: TypeAlias = Annotated[
    str | None, typer.Option(metavar="A,B", help="Names of metrics, or all. Default: the fast ones.")
]
FeatureExtractorOption: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Name of the feature extractor. Default: the domain's first."),
]
LabelOption: TypeAlias = Annotated[str | None, typer.Option(help="Samples of this class only.")]
SampleSeedOption: TypeAlias = Annotated[int, typer.Option(min=0, help="Seed of the samples.")]
DeviceOption: TypeAlias = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")]
OutFolderOption: TypeAlias = Annotated[
    Path, typer.Option(help="Folder of the files; it is created if it does not exist.")
]
OverwriteOption: TypeAlias = Annotated[
    bool, typer.Option("--overwrite", help="Replace the samples in --out.")
]
StrictPluginsOption: TypeAlias = Annotated[
    bool, typer.Option("--strict-plugins", help="Stop at the first error of a plugin.")
]
NoProgressOption: TypeAlias = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
QuietOption: TypeAlias = Annotated[bool, typer.Option("--quiet", help="Print nothing.")]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]
