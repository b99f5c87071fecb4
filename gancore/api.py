"""The verbs as plain functions; the command line is a thin layer over them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gancore.configure import resolve_config
from gancore.errors import CheckpointError, ConfigError, GancoreError, nearest
from gancore.listing import RUNS, models, runs
from gancore.plugins import plugins
from gancore.training.lifetime import Lifetime, RunResult
from gancore.training.placing import existing_run, find_unfinished, keep_config, new_run
from gancore.training.progress import Mode, open_progress
from gancore.training.run import RunFolder

if TYPE_CHECKING:
    from gancore.models.model import Model

__all__ = ["RunResult", "generate", "load", "models", "resolve_config", "runs", "train"]


def train(
    domain: str | None = None,
    *,
    data_root: str | Path | None = None,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    init_from: str | Path | None = None,
    force: bool = False,
    progress: Mode = "plain",
    strict_plugins: bool = False,
    **settings: Any,
) -> RunResult:
    """Train a model; ``settings`` are those of :func:`resolve_config`.

    ``resume`` is a run folder, or ``"auto"``: the last unfinished run of this configuration, else a new
    one. ``init_from`` is a run or model whose weights training starts from.

    Raises:
        GancoreError: a mistake that the user can mend, in one line.
    """
    plugins().strict = strict_plugins
    folder = _path(out)
    if resume is not None and str(resume) != "auto":
        run = existing_run(Path(resume))
        base = run.config_file if run.config_file.exists() else None
        config = resolve_config(domain, **settings, base=base)
    else:
        config = resolve_config(domain, **settings)
        unfinished = find_unfinished(config, folder, RUNS) if resume is not None else None
        run = unfinished or new_run(config, folder, RUNS)
    shown = open_progress(progress, sys.stdout if progress == "json" else sys.stderr)
    with run.lock():
        keep_config(run, config, force)
        return Lifetime(run, config, shown, _path(data_root), _path(init_from), force).play()


def _path(given: str | Path | None) -> Path | None:
    return None if given is None else Path(given)


def load(model: str | Path, device: str = "auto") -> Model:
    """A trained model: a run folder, a model folder, or the name of one that a plugin brings."""
    from gancore.models.model import open_model

    return open_model(_model_folder(model), device)


def _model_folder(model: str | Path) -> Path:
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


def generate(
    model: str | Path,
    *,
    n: int = 16,
    out: str | Path = "samples",
    seed: int = 0,
    label: str | None = None,
    interpolate: bool = False,
    batch_size: int = 64,
    device: str = "auto",
) -> list[Path]:
    """Write ``n`` samples into ``out``; returns the files. The same seed gives the same samples."""
    loaded = load(model, device)
    if interpolate:
        samples = loaded.interpolation(n, seed, label)
    else:
        samples = loaded.sample(n, seed, label, batch_size)
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return loaded.domain.write(samples, folder)
    except OSError as error:
        raise GancoreError(
            f"cannot write samples to {folder}: {error.strerror}", "give another --out"
        ) from error
