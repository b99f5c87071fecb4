"""Which run folder a training writes: a new one, or one to go on with under the same configuration."""

from __future__ import annotations

import contextlib
from datetime import datetime
from pathlib import Path

from gancore.config import RunConfig, config_hash, difference
from gancore.config_text import dump
from gancore.configure import read_config
from gancore.errors import ConfigError
from gancore.files import LEFTOVER, atomic_write
from gancore.training.run import RunFolder, latest_run


def existing_run(path: Path) -> RunFolder:
    """The run that ``--resume`` names. Raises ConfigError where there is none."""
    run = RunFolder(path)
    if run.read_status() is None and not is_unborn(run):
        raise ConfigError(f"--resume {path}: there is no run", "`gancore runs` lists them")
    return run


def find_unfinished(config: RunConfig, out: Path | None, runs: Path) -> RunFolder | None:
    """What ``--resume auto`` goes on with: the run in ``out``, or the last unfinished one like this."""
    if out is not None:
        run = RunFolder(out)
        return run if run.read_status() is not None or is_unborn(run) else None
    wanted = config_hash(config)
    return latest_run(runs, lambda run, status: status.config_hash == wanted)


def new_run(config: RunConfig, out: Path | None, runs: Path) -> RunFolder:
    """A fresh run folder. Raises ConfigError where ``out`` holds anything, or cannot be made."""
    if out is None:
        return RunFolder.create(runs, f"{config.domain}-{config.recipe}-{datetime.now():%Y%m%d-%H%M%S}")
    run = RunFolder(out)
    if run.read_status() is not None:
        raise ConfigError(f"--out {out} holds a run already", f"go on with --resume {out}, or give another")
    if out.is_dir():
        _require_empty(run)
        return run
    if out.exists():
        raise ConfigError(f"--out {out} is a file", "give a folder")
    return RunFolder.create(out.parent, out.name)


def _require_empty(run: RunFolder) -> None:
    try:
        empty = not any(run.path.iterdir())
    except OSError as error:
        raise ConfigError(f"--out {run.path}: {error.strerror}", "give another --out") from error
    if not empty and not is_unborn(run):
        raise ConfigError(f"--out {run.path} is a folder with other things in it", "give a new or empty one")


def is_unborn(run: RunFolder) -> bool:
    """Whether a run was killed here before it wrote its status: only its lock and configuration stand."""
    if not run.lock_file.is_file():
        return False
    own = {run.lock_file.name, f"{run.lock_file.name}.held", run.config_file.name}
    return all(path.name in own or LEFTOVER.fullmatch(path.name) for path in run.path.iterdir())


def keep_config(run: RunFolder, config: RunConfig, force: bool) -> None:
    """Write the resolved configuration; refuse one that differs from the run's own."""
    if run.config_file.exists():
        changes = difference(read_config(run.config_file), config)
        if changes and not force:
            raise ConfigError(
                f"the configuration of {run.path} is another: {', '.join(changes)}",
                "leave the change out, start a new run, or go on all the same with --force",
            )
    atomic_write(run.config_file, dump(config))


def withdraw(run: RunFolder) -> None:
    """Take back a new run that did not begin; what others put into the folder stays."""
    for file in (run.status_file, run.data_file, run.config_file, run.lock_file):
        with contextlib.suppress(OSError):
            file.unlink()
    with contextlib.suppress(OSError):
        run.path.rmdir()
