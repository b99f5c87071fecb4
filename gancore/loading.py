"""From what a user names to a trained model. Nothing heavy is imported before one is opened."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from gancore.arguments import checked
from gancore.data.sources import cache_folder, fetch
from gancore.errors import CheckpointError, ConfigError, PluginError, nearest
from gancore.files import used
from gancore.plugins import plugins
from gancore.plugins.checks import is_url
from gancore.records import ModelEntry, SourceEntry
from gancore.training.run import RunFolder

if TYPE_CHECKING:
    from gancore.models.model import Model
    from gancore.training.loaded_game import LoadedGame

Announce = Callable[[str], None]


def _silent(line: str) -> None:
    """Tells nobody."""


@checked
def load(model: str | Path, device: str = "auto") -> Model:
    """A trained model: a run folder, a model folder, or the name of one that a plugin brings."""
    from gancore.models.model import open_model

    return open_model(model_folder(model), device)


@checked
def load_game(
    run: str | Path,
    step: int | None = None,
    device: str = "cpu",
    *,
    data_root: str | Path | None = None,
    announce: Announce = _silent,
) -> LoadedGame:
    """The game of a run folder: all its networks, not the sampler alone, and the table it is played on.

    ``step``: that of one of its checkpoints (``upkeep.checkpoint_every`` keeps more of them); by default the
    newest. ``data_root``: where named data are looked for first; ``announce`` is told of what is downloaded.

    Raises:
        GancoreError: no such run or checkpoint, in one line.
    """
    from gancore.training.loaded_game import open_game

    root = None if data_root is None else Path(os.path.expanduser(data_root))
    return open_game(Path(os.path.expanduser(run)), step, device, root, announce)


def model_folder(model: str | Path, announce: Announce = _silent) -> Path:
    """The model folder of a run, one that is given itself, or that of a named model; it may be downloaded.

    Raises:
        CheckpointError: the run has no model yet.
        ConfigError: there is no such thing.
        GancoreError: the named model cannot be had.
    """
    path = Path(model)
    if (path / "model").is_dir():
        return path / "model"
    if RunFolder(path).read_status() is not None:
        raise CheckpointError(f"run {path} has no model yet", "train it until its first checkpoint")
    return path if path.exists() else _named(str(model), announce)


def origin_folder(origin: str | Path, announce: Announce) -> Path:
    """The run or model folder that a training starts from, or that of a named model; errors as above."""
    path = Path(os.path.expanduser(origin))
    return path if path.exists() else _named(str(origin), announce)


def _named(name: str, announce: Announce) -> Path:
    entries = {entry.name: entry for entry in plugins().records("gancore_models")}
    entry = entries.get(name)
    if not isinstance(entry, ModelEntry):
        hint = nearest(name, entries) if entries else "`gancore runs` lists what was trained here"
        raise ConfigError(f"no run, model folder or named model {name!r}", hint)
    return folder_of(entry, announce)


def folder_of(entry: ModelEntry, announce: Announce = _silent) -> Path:
    """The model folder that a plugin names; the archive of a URL is fetched once into the cache.

    Raises:
        PluginError: there is no model folder.
        DataError: it cannot be downloaded.
    """
    folder = Path(entry.factory)
    if is_url(entry.factory):
        licence = entry.licence or "not stated"
        source = SourceEntry(entry.name, entry.summary, licence, {entry.factory: entry.sha256})
        folder = cache_folder() / "models" / entry.sha256[:32]
        if folder.is_dir():  # whole since it has its name; may lie where nobody can write
            used(folder)
        else:
            fetch(source, folder, announce)
    if not (folder / "config.json").is_file():
        plugin = plugins().origin(entry)
        who = f"the plugin {plugin.name!r} ({plugin.distribution} {plugin.version})" if plugin else "a plugin"
        raise PluginError(
            f"{who} brings the model {entry.name!r}, and {folder} holds none",
            "let its factory be a folder that gancore wrote as RUN/model, or a URL of such a folder packed",
        )
    return folder
