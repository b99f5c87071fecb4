"""Options that several commands share, and the names that a shell completes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer


def complete_domain(incomplete: str) -> list[str]:
    """Names of installed plugins, from their metadata alone, since a shell waits for the answer."""
    from gancore.plugins import plugins

    return [plugin.name for plugin in plugins().list_plugins() if plugin.name.startswith(incomplete)]


def complete_recipe(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Recipes of the domain that the command line has named so far."""
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


def split_names(names: str | None) -> list[str] | None:
    """``a,b`` as a list; None stays None."""
    return None if names is None else [name.strip() for name in names.split(",") if name.strip()]


RunOrModelArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="RUN_OR_MODEL", help="A run folder, a model folder, or a model's name.")
]
RunsFolderArgument: TypeAlias = Annotated[Path, typer.Argument(help="The folder that holds the runs.")]
DomainOption: TypeAlias = Annotated[
    str | None,
    typer.Option(help="The kind of data; see `gancore plugins`.", autocompletion=complete_domain),
]
DataOption: TypeAlias = Annotated[
    str | None, typer.Option(help="A folder, file or named data set; default: the built-in data.")
]
DataRootOption: TypeAlias = Annotated[
    Path | None, typer.Option(help="The folder of named data sets; default: GANCORE_DATA, or the cache.")
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
        help="Wall-clock budget, evaluation and checkpoints included: 90s, 10m, 2h or seconds.",
    ),
]
OtherDataOption: TypeAlias = Annotated[
    str | None, typer.Option(metavar="SOURCE", help="Other data than the model's own: a name or a path.")
]
MetricsOption: TypeAlias = Annotated[
    str | None, typer.Option(metavar="A,B", help="Metrics by name; all: every one. Default: the quick ones.")
]
FeatureExtractorOption: TypeAlias = Annotated[
    str | None, typer.Option(metavar="NAME", help="Feature extractor by name. Default: the domain's first.")
]
LabelOption: TypeAlias = Annotated[str | None, typer.Option(help="Samples of this class only.")]
SampleSeedOption: TypeAlias = Annotated[
    int, typer.Option(min=0, help="The same seed gives the same samples.")
]
DeviceOption: TypeAlias = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")]
OutFolderOption: TypeAlias = Annotated[Path, typer.Option(help="The folder for the files; made if missing.")]
OverwriteOption: TypeAlias = Annotated[
    bool, typer.Option("--overwrite", help="Replace the samples that --out holds.")
]
StrictPluginsOption: TypeAlias = Annotated[
    bool, typer.Option("--strict-plugins", help="Stop at the first fault of a plugin.")
]
NoProgressOption: TypeAlias = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
QuietOption: TypeAlias = Annotated[bool, typer.Option("--quiet", help="Print nothing.")]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]
