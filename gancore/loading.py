"""From what a user names to a trained model. Nothing heavy is imported before one is opened."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gancore.arguments import checked
from gancore.errors import CheckpointError, ConfigError, nearest
from gancore.plugins import plugins
from gancore.training.run import RunFolder

if TYPE_CHECKING:
    from gancore.models.model import Model
    from gancore.training.loaded_game import LoadedGame


@checked
def load(model: str | Path, device: str = "auto") -> Model:
    """A trained model: a run folder, a model folder, or the name of one that a plugin brings."""
    from gancore.models.model import open_model

    return open_model(model_folder(model), device)


@checked
def load_game(run: str | Path, step: int | None = None, device: str = "cpu") -> LoadedGame:
    """The game of a run folder: all its networks, not the sampler alone, and the table it is played on.

    ``step``: that of one of its checkpoints (``upkeep.checkpoint_every`` keeps more of them); by default the
    newest.

    Raises:
        GancoreError: no such run or checkpoint, in one line.
    """
    from gancore.training.loaded_game import open_game

    return open_game(Path(run).expanduser(), step, device)


def model_folder(model: str | Path) -> Path:
    """The model folder of a run, one that is given itself, or that of a named model."""
    path = Path(model)
    if (path / "model").is_dir():
        return path / "model"
    if RunFolder(path).read_status() is not None:
        raise CheckpointError(f"run {path} has no model yet", "train it until its first checkpoint")
    if path.exists():
        return path
    entries = {entry.name: entry for entry in plugins().records("gancore_models")}
    if str(model) not in entries:
        hint = nearest(str(model), entries) if entries else "`gancore runs` lists what was trained here"
        raise ConfigError(f"no run, model folder or named model {str(model)!r}", hint)
    return Path(plugins().resolve(entries[str(model)]))
