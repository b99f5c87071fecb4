"""Summaries of runs, models and recipes. Imports no torch: listing is fast."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gancore.arguments import validate_arguments
from gancore.entries import PretrainedModelEntry
from gancore.errors import CheckpointError, ConfigError
from gancore.files import Json, open_regular
from gancore.models.packaged import ModelFacts, read_facts
from gancore.run_folder import list_runs as run_folders

if TYPE_CHECKING:
    from gancore.config import RecipeConfig

RUNS = Path("runs")
"""Default folder for runs."""
TAIL_BYTES = 1 << 16
"""The size of the end of the training log that is searched for the last losses."""


@dataclass(frozen=True)
class RunSummary:
    """One run. ``seconds`` are of training, ``losses`` are those of the last log line.

    ``verdict`` is the quality warning about the model; empty if there is none.
    """

    name: str
    path: Path
    domain: str
    recipe: str
    source: str
    step: int
    total: int | None
    status: str
    seconds: float
    updated: str
    error: str
    losses: Mapping[str, float] = field(default_factory=dict)
    verdict: str = ""


@dataclass(frozen=True)
class ModelSummary:
    """One trained model. ``id`` is the argument of ``gancore generate``; ``origin`` is run or plugin.

    ``recipe``, ``data`` (the name of the source), ``size`` (of its files, in bytes) and ``figure`` (its main
    distance with its interval and the values of the controls, as text) are empty or 0 if they are not known,
    as for a model that is not downloaded yet. ``step`` is that of a run.
    """

    id: str
    domain: str
    recipe: str
    origin: str
    summary: str
    licence: str = ""
    step: int | None = None
    data: str = ""
    size: int = 0
    figure: str = ""


@dataclass(frozen=True)
class KeySummary:
    """A key of a recipe for ``--set``. ``allowed`` describes its values, such as ``an integer > 0``.

    ``default`` is a JSON value; None if there is no default.
    """

    key: str
    default: Any
    allowed: str
    about: str


@dataclass(frozen=True)
class RecipeSummary:
    """One recipe. ``default`` is True for the recipe that is trained if none is named.

    ``provides`` are the capabilities of its model, such as ``likelihood``.
    """

    name: str
    domain: str
    summary: str
    default: bool
    provides: tuple[str, ...]
    keys: tuple[KeySummary, ...]


@validate_arguments
def list_runs(folder: str | Path = RUNS) -> list[RunSummary]:
    """The runs in a folder, the last updated first. If the folder is a run, only this run.

    Raises:
        ConfigError: the path is not a folder or cannot be read.
    """
    folder = Path(folder)
    try:
        if not folder.exists() and folder == RUNS:
            return []
        inside = os.listdir(folder)
    except OSError as error:
        raise ConfigError(f"runs folder {folder}: {error.strerror}", "give a folder with runs") from error
    found = run_folders(folder.absolute().parent if "run.json" in inside else folder)
    if "run.json" in inside:
        found = [run for run in found if run[0].path.name == folder.absolute().name]
    return [
        RunSummary(
            name=run.path.name,
            path=folder if "run.json" in inside else run.path,
            domain=status.domain,
            recipe=status.recipe,
            source=status.source,
            step=status.step,
            total=status.total,
            status=status.status,
            seconds=status.seconds,
            updated=status.updated,
            error=status.error,
            losses=last_losses(run.metrics_file),
            verdict=status.verdict,
        )
        for run, status in found
    ]


def last_losses(metrics: Path) -> dict[str, float]:
    """The losses in the last complete line of ``metrics.jsonl`` with losses; empty if there is none."""
    try:
        with os.fdopen(open_regular(metrics, os.O_RDONLY), "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            lines = file.read().split(b"\n")
    except OSError:
        return {}
    for line in reversed(lines):
        try:
            content = json.loads(line)
        except (ValueError, RecursionError):
            continue
        fields = content.items() if isinstance(content, dict) else ()
        if losses := {name: value for name, value in fields if _is_loss(name, value)}:
            return losses
    return {}


def _is_loss(name: str, value: Json) -> bool:
    return (
        name.rpartition("/")[2] == "loss" and isinstance(value, (int, float)) and not isinstance(value, bool)
    )


@validate_arguments
def list_recipes(domain: str | None = None) -> list[RecipeSummary]:
    """The recipes of a domain, the default one first; those of all installed domains if it is None.

    Raises:
        PluginError: there is no such domain, or a recipe cannot be loaded.
    """
    from gancore.plugins import plugins

    names = [domain] if domain else [entry.name for entry in plugins().entries("gancore_domains")]
    found = []
    for name in names:
        owner = plugins().load_domain(name)
        for number, entry in enumerate(plugins().recipe_entries(owner).values()):
            section = plugins().load_recipe(owner, entry.name)[1].Config
            provides = tuple(sorted(entry.capabilities))
            keys = _recipe_keys(section)
            found.append(RecipeSummary(entry.name, name, entry.summary, number == 0, provides, keys))
    return found


def _recipe_keys(section: type[RecipeConfig]) -> tuple[KeySummary, ...]:
    from gancore.config_layers import describe_allowed

    defaults = section.model_construct().model_dump(mode="json")
    return tuple(
        KeySummary(
            f"model.{name}", defaults.get(name), describe_allowed(section, name), field.description or ""
        )
        for name, field in section.model_fields.items()
    )


@validate_arguments
def list_models(domain: str | None = None, folder: str | Path = RUNS) -> list[ModelSummary]:
    """Trained models: those of the runs in ``folder``, then those of plugins.

    Raises:
        PluginError: there is no such domain.
    """
    found = [*_run_models(Path(folder)), *_plugin_models()]
    chosen = [model for model in found if domain in (None, model.domain)]
    if domain is not None and not chosen:
        from gancore.plugins import plugins

        plugins().load_domain(domain)  # raises if there is none
    return chosen


def _run_models(folder: Path) -> Iterator[ModelSummary]:
    for run, status in run_folders(folder):
        try:
            facts = read_facts(run.model)
        except (OSError, CheckpointError):
            continue
        if facts.domain and facts.recipe:
            about = f"trained on data {status.source!r}" if status.source else ""
            yield ModelSummary(
                str(run.path),
                facts.domain,
                facts.recipe,
                "run",
                about,
                step=status.step,
                data=status.source,
                size=facts.size,
            )


def _plugin_models() -> Iterator[ModelSummary]:
    from gancore.plugins import plugins

    for entry in plugins().entries("gancore_models"):
        if isinstance(entry, PretrainedModelEntry):
            try:
                facts = read_facts(Path(entry.target))
            except (OSError, CheckpointError):  # not downloaded yet, or damaged, which opening it reports
                facts = ModelFacts()
            yield ModelSummary(
                entry.name,
                entry.domain,
                facts.recipe,
                "plugin",
                entry.summary,
                entry.licence,
                data=facts.data,
                size=facts.size,
                figure=facts.figure,
            )
