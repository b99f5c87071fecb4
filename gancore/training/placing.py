"""Which run folder a training writes: a new one, or one to go on with under the same configuration."""

from __future__ import annotations

import contextlib
import os
import shlex
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from gancore.config import BUDGET_KEYS, RunConfig, difference
from gancore.config_text import dump
from gancore.configure import read_config
from gancore.data.rows import ROWS_NAME, GivenRows
from gancore.data.sources import resolve
from gancore.errors import ConfigError, GancoreError
from gancore.files import LARGEST_LISTING_BYTES, LEFTOVER, atomic_write, read_json_object
from gancore.training.run import RunFolder, RunStatus, latest_run


def existing_run(path: Path) -> RunFolder:
    """The run that ``--resume`` names. Raises ConfigError where there is none."""
    run = RunFolder(path)
    if run.read_status() is None and not is_unborn(run):
        raise ConfigError(f"--resume {path}: there is no run", "`gancore runs` lists them")
    return run


def find_unfinished(
    config: RunConfig, out: Path | None, runs: Path, data_root: Path | None = None
) -> RunFolder | None:
    """What ``--resume auto`` goes on with: the run in ``out``, or the last unfinished one like this.

    One is like this if its configuration is the same (keys that a plugin added since have their defaults)
    and its data are, wherever they lie.
    """
    if out is not None:
        run = RunFolder(out)
        return run if run.read_status() is not None or is_unborn(run) else None
    here = _Fingerprint(config, data_root)

    def is_like_this(run: RunFolder, status: RunStatus) -> bool:
        if (status.domain, status.recipe) != (config.domain, config.recipe):
            return False
        try:
            old = read_config(run.config_file)
        except GancoreError:
            return False
        return not difference(old, config) and (old.data.source == config.data.source or here.is_that_of(run))

    return latest_run(runs, is_like_this)


@dataclass
class _Fingerprint:
    """Of the data that a configuration names: they are opened when first asked for."""

    config: RunConfig
    data_root: Path | None
    value: str | None = None

    def is_that_of(self, run: RunFolder) -> bool:
        try:
            recorded = read_json_object(run.data_file, LARGEST_LISTING_BYTES).get("fingerprint")
            if self.value is None:
                self.value = self._open()
        except (OSError, GancoreError):
            return False
        return bool(recorded) and recorded == self.value

    def _open(self) -> str:
        from gancore.plugins import plugins

        domain = plugins().domain(self.config.domain)
        source = resolve(self.config.data.source, domain.sources, self.data_root, lambda line: None)
        return domain.open(source, self.config.data).fingerprint


def new_run(config: RunConfig, out: Path | None, runs: Path) -> RunFolder:
    """A fresh run folder. Raises ConfigError where ``out`` holds anything, or cannot be made."""
    if out is None:
        recipe = config.recipe.replace(":", "-")
        return RunFolder.create(runs, f"{config.domain}-{recipe}-{datetime.now():%Y%m%d-%H%M%S}")
    run = RunFolder(out)
    if run.read_status() is not None:
        fix = f"go on with --resume {shlex.quote(str(out))}, or give another"
        raise ConfigError(f"--out {out} holds a run already", fix)
    if out.is_dir():
        _require_empty(run)
        return run
    if out.exists():
        raise ConfigError(f"--out {out} is a file", "give a folder")
    if os.path.lexists(out):
        raise ConfigError(f"--out {out} is a link to {os.readlink(out)}, which is not there", "make it")
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
    own = {run.lock_file.name, f"{run.lock_file.name}.held", run.config_file.name, run.rows.name}
    return all(path.name in own or LEFTOVER.fullmatch(path.name) for path in run.path.iterdir())


def check_config(run: RunFolder, config: RunConfig, force: bool) -> None:
    """Refuse a configuration that differs from the run's own; that of a new run is written.

    The budget may differ, and so may the place of the data: their fingerprint is checked.
    """
    if not run.config_file.exists():
        return keep_config(run, config)
    changes = difference(read_config(run.config_file), config, but=BUDGET_KEYS)
    if changes and not force:
        raise ConfigError(
            f"the configuration of {run.path} is another: {', '.join(changes)}",
            "leave the change out, start a new run, or go on all the same with --force",
        )


def keep_rows(run: RunFolder, config: RunConfig, rows: GivenRows, force: bool) -> None:
    """Write rows that a program gave in memory into the run, unless its configuration refuses them.

    Under the run's lock: after a kill what stands there is a run that can be begun.

    Raises:
        ConfigError: as :func:`check_config`.
        CheckpointError: they cannot be written, or the run is in use; a new run is taken back.
    """
    with run.lock():
        check_config(run, config, force)
        try:
            rows.keep(run.rows)
        except GancoreError:
            if run.read_status() is None:
                withdraw(run)
            raise


def keep_config(run: RunFolder, config: RunConfig) -> None:
    """Write the resolved configuration."""
    atomic_write(run.config_file, dump(config))


def withdraw_rows(run: RunFolder, config: RunConfig) -> None:
    """Take back rows that a program gave in memory to a run which goes on with its own."""
    given = config.data.source or ""
    with contextlib.suppress(OSError, GancoreError):
        own = read_config(run.config_file).data.source or ""
        if ROWS_NAME.fullmatch(given) and Path(own).name != given:
            (run.rows / given).unlink()


def withdraw(run: RunFolder) -> None:
    """Take back a new run that did not begin; what others put into the folder stays."""
    for file in (run.status_file, run.data_file, run.config_file, run.lock_file):
        with contextlib.suppress(OSError):
            file.unlink()
    with contextlib.suppress(OSError):
        for file in run.rows.glob("rows-*.npy"):
            file.unlink()
        run.rows.rmdir()
    with contextlib.suppress(OSError):
        run.path.rmdir()
