"""Finds the model or run that a user names. Imports no torch until a model is opened."""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gancore.arguments import validate_arguments
from gancore.config_layers import load_config_file
from gancore.data.cache import cache_folder
from gancore.data.sources import fetch
from gancore.entries import PretrainedModelEntry, SourceEntry
from gancore.errors import CheckpointError, ConfigError, PluginError
from gancore.files import mark_used
from gancore.hub import is_hub_name, parse_hub_name
from gancore.models.hub import fetch_model
from gancore.origin import Origin
from gancore.plugins import plugins
from gancore.plugins.extras import install_command
from gancore.plugins.plugin import is_url
from gancore.progress import Announce, silent
from gancore.run_folder import RunFolder

if TYPE_CHECKING:
    from gancore.models.model import Model
    from gancore.training.loaded_game import LoadedGame


@validate_arguments
def load(model: str | Path, device: str = "auto", *, revision: str | None = None) -> Model:
    """Load a trained model.

    Args:
        model: a run folder, a model folder, the name of a model of a plugin, or ``hub:OWNER/NAME``.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``.
        revision: a branch, a tag or a commit of a model on the hub; by default ``main``.

    Raises:
        GancoreError: there is no such model, or it cannot be opened; the message is one line.
    """
    from gancore.models.model import load_model

    return load_model(find_model(model, revision=revision), device)


@validate_arguments
def load_game(
    run: str | Path,
    step: int | None = None,
    device: str = "cpu",
    *,
    data_root: str | Path | None = None,
    announce: Announce = silent,
) -> LoadedGame:
    """Load the game of a run folder with all its networks, and its training setup.

    Args:
        run: the run folder.
        step: the step of a checkpoint, by default of the newest one (``checkpoint.every`` keeps more).
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``.
        data_root: a folder with named data sets.
        announce: called with each line about downloads.

    Raises:
        GancoreError: there is no such run or checkpoint; the message is one line.
    """
    from gancore.training.loaded_game import open_game

    root = None if data_root is None else Path(os.path.expanduser(data_root))
    return open_game(Path(os.path.expanduser(run)), step, device, root, announce)


def find_model(model: str | Path, announce: Announce = silent, revision: str | None = None) -> Path:
    """The model folder of a run, a given model folder, or that of a named model, which may be downloaded.

    ``revision``: of a model on the hub.

    Raises:
        CheckpointError: the run has no model yet.
        ConfigError: there is no such run, folder or model; a revision of a model that is not on the hub.
        GancoreError: the named model cannot be obtained.
    """
    if is_hub_name(model):
        return fetch_model(parse_hub_name(str(model), revision), announce)
    if revision is not None:
        raise ConfigError(f"a revision is given, but {str(model)!r} is not on the hub", "give hub:OWNER/NAME")
    path = Path(model)
    if (path / "model").is_dir():
        return path / "model"
    if RunFolder(path).read_status() is not None:
        raise CheckpointError(f"run {path} has no model yet", "train it until its first checkpoint")
    return path if path.exists() else _find_named_model(str(model), announce)


def _find_weights(origin: str | Path, announce: Announce) -> Path:
    """The run or model folder with initial weights, or that of a named model. Raises as find_model."""
    if is_hub_name(origin):
        return fetch_model(parse_hub_name(str(origin)), announce)
    path = Path(os.path.expanduser(origin))
    return path if path.exists() else _find_named_model(str(origin), announce)


def find_origin(origin: str | Path, announce: Announce) -> Origin:
    """The run or model that a training starts from, with its configuration; its weights are not read.

    Raises:
        CheckpointError: config.json of the model is missing or damaged.
        ConfigError: config.yaml of a run without a model is missing or damaged.
        GancoreError: as find_model.
    """
    from gancore.models.folder import read_model_config

    path = _find_weights(origin, announce)
    run = RunFolder(path)
    is_run = run.checkpoints.is_dir()
    if is_run and not run.model.is_dir():
        config = load_config_file(run.config_file)
        sections = (section.model_dump(mode="json") for section in (config.model, config.data))
        return Origin(path, str(path), config.domain, config.recipe, *sections)
    content: dict[str, Any] = read_model_config(run.model if is_run else path)
    data = content.get("data")
    return Origin(
        path,
        str(path) if is_run else f"the model {path}",
        content["domain"],
        content["recipe"],
        content["model"],
        data if isinstance(data, dict) else {},
        content["spec"],
    )


def _find_named_model(name: str, announce: Announce) -> Path:
    entries = {entry.name: entry for entry in plugins().entries("gancore_models")}
    entry = entries.get(name)
    if not isinstance(entry, PretrainedModelEntry):
        raise ConfigError(f"no run, model folder or named model {name!r}", _advise_on_name(name, entries))
    return plugin_model_folder(entry, announce)


def _advise_on_name(name: str, known: Collection[str]) -> str:
    """A similar name, or the plugin that is missing for a name DOMAIN/NAME, or where models are listed."""
    domain, slash, _ = name.partition("/")
    if close := difflib.get_close_matches(name, known, n=1):
        return f"did you mean {close[0]!r}?"
    domains = {entry.name for entry in plugins().entries("gancore_domains")}
    if slash and domain not in domains and (command := install_command(domain)):
        return f"the plugin of the domain {domain!r} is not installed: {command}"
    of_domain = [other for other in known if other.startswith(f"{domain}/")]
    if of_domain:
        return f"the models of {domain}: {', '.join(sorted(of_domain))}"
    return "`gancore models` lists models, `gancore runs` lists runs"


def plugin_model_folder(entry: PretrainedModelEntry, announce: Announce = silent) -> Path:
    """The model folder of an entry; an archive at a URL is downloaded once into the cache.

    Raises:
        PluginError: the folder or the archive is not a model folder.
        DataError: the archive cannot be downloaded.
    """
    folder = Path(entry.target)
    if is_url(entry.target):
        licence = entry.licence or "not stated"
        source = SourceEntry(entry.name, entry.summary, licence, {entry.target: entry.sha256})
        folder = cache_folder() / "models" / entry.sha256[:32]
        if folder.is_dir():  # a folder with its final name is complete; the cache may be read-only
            mark_used(folder)
        else:
            fetch(source, folder, announce)
    if not (folder / "config.json").is_file():
        plugin = plugins().plugin_of(entry)
        who = f"the plugin {plugin.name!r} ({plugin.distribution} {plugin.version})" if plugin else "a plugin"
        raise PluginError(
            f"{who} registers the model {entry.name!r}, but {folder} holds none",
            "set its target to a folder that gancore wrote as RUN/model, or to the URL of an archive of one",
        )
    return folder
