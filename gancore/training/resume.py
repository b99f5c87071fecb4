"""Which run folder a training writes: a new one, or one to resume with the same configuration."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from pathlib import Path

from gancore.config import BUDGET_KEYS, RunConfig, diff_configs
from gancore.config_layers import load_config_file
from gancore.config_yaml import to_yaml
from gancore.data.sources import ARRAY_NAME, ArraySource, resolve_source
from gancore.errors import ConfigError, GancoreError
from gancore.files import LEFTOVER, MAX_DATA_JSON_BYTES, atomic_write, read_json_object
from gancore.plugins import plugins
from gancore.progress import silent
from gancore.run_folder import RunFolder, RunStatus, latest_run


def existing_run(path: Path) -> RunFolder:
    """The run that ``--resume`` names.

    Raises:
        ConfigError: there is none.
        CheckpointError: a gancore with another contract version wrote it.
    """
    run = RunFolder(path)
    if run.read_status() is None and not has_no_status(run):
        raise ConfigError(f"--resume {path}: there is no run", "`gancore runs` lists them")
    run.check_version()
    return run


def find_unfinished(
    config: RunConfig, out: Path | None, runs: Path, data_root: Path | None = None
) -> RunFolder | None:
    """The run that ``--resume auto`` continues: that in ``out``, or the latest unfinished one that matches.

    A run matches if its configuration is the same (keys that a plugin has added since have their defaults)
    and its data are the same, wherever their files are.
    """
    if out is not None:
        run = RunFolder(out)
        run.check_version()
        return run if run.read_status() is not None or has_no_status(run) else None

    @cache
    def fingerprint() -> str:
        domain = plugins().load_domain(config.domain)
        source = resolve_source(
            config.data.source, domain.sources, data_root, silent, reads_shards=domain.reads_shards
        )
        return domain.open(source, config.data).fingerprint

    def has_same_data(run: RunFolder) -> bool:
        try:
            recorded = read_json_object(run.data_file, MAX_DATA_JSON_BYTES).get("fingerprint")
            return bool(recorded) and recorded == fingerprint()
        except (OSError, GancoreError):
            return False

    def matches(run: RunFolder, status: RunStatus) -> bool:
        if (status.domain, status.recipe) != (config.domain, config.recipe):
            return False
        try:
            run.check_version()
            old = load_config_file(run.config_file)
        except GancoreError:
            return False
        same_source = old.data.source == config.data.source
        return not diff_configs(old, config) and (same_source or has_same_data(run))

    return latest_run(runs, matches)


def new_run(config: RunConfig, out: Path | None, runs: Path) -> RunFolder:
    """A new run folder. Raises ConfigError if ``out`` is not empty, or cannot be made."""
    if out is None:
        recipe = config.recipe.replace(":", "-")
        return RunFolder.create(runs, f"{config.domain}-{recipe}-{datetime.now():%Y%m%d-%H%M%S}")
    run = RunFolder(out)
    if run.read_status() is not None:
        fix = f"continue with --resume {shlex.quote(str(out))}, or give another"
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
    if not empty and not has_no_status(run):
        raise ConfigError(f"--out {run.path} is a folder with other files in it", "give a new or empty one")


def has_no_status(run: RunFolder) -> bool:
    """Whether a run was killed here before it wrote its status: there are only its lock and configuration."""
    if not run.lock_file.is_file():
        return False
    own = {run.lock_file.name, f"{run.lock_file.name}.held", run.config_file.name, run.rows_folder.name}
    return all(path.name in own or LEFTOVER.fullmatch(path.name) for path in run.path.iterdir())


def check_config(run: RunFolder, config: RunConfig, force: bool) -> None:
    """Refuse a configuration that differs from the run's own; write that of a new run.

    The budget may differ, and so may the path of the data: their fingerprint is checked.
    """
    if not run.config_file.exists():
        return write_config(run, config)
    changes = diff_configs(load_config_file(run.config_file), config, ignore=BUDGET_KEYS)
    if changes and not force:
        raise ConfigError(
            f"{run.path} was trained with different settings: {', '.join(changes)}",
            "remove the change, start a new run, or use --force",
        )


def write_rows(run: RunFolder, config: RunConfig, rows: ArraySource, force: bool) -> None:
    """Write rows that a program gave in memory into the run, unless its configuration differs.

    Holds the run's lock: after a kill, the folder is a run that can be started.

    Raises:
        ConfigError: as :func:`check_config`.
        CheckpointError: they cannot be written, or the run is in use; a new run is removed.
    """
    with run.lock():
        check_config(run, config, force)
        try:
            rows.store(run.rows_folder)
        except GancoreError:
            if run.read_status() is None:
                remove_new_run(run)
            raise


def write_config(run: RunFolder, config: RunConfig) -> None:
    """Write the resolved configuration."""
    atomic_write(run.config_file, to_yaml(config))


def remove_given_rows(run: RunFolder, config: RunConfig) -> None:
    """Remove rows that a program gave in memory to a run that continues with its own."""
    given = config.data.source or ""
    with contextlib.suppress(OSError, GancoreError):
        own = load_config_file(run.config_file).data.source or ""
        if ARRAY_NAME.fullmatch(given) and Path(own).name != given:
            (run.rows_folder / given).unlink()


@contextlib.contextmanager
def removed_if_not_started(run: RunFolder) -> Iterator[None]:
    """Context manager that removes the folder of a new run if an error comes before its trainer.

    A run that has its configuration stays, as it can be started: its rows may be nowhere else.
    """
    is_new = not run.config_file.exists()
    try:
        yield
    except BaseException:
        with contextlib.suppress(GancoreError), run.lock():
            if is_new and run.read_status() is None:
                remove_new_run(run)
        raise


def remove_new_run(run: RunFolder) -> None:
    """Remove the files of a new run that did not start; files of others stay."""
    held = run.lock_file.with_name(f"{run.lock_file.name}.held")
    for file in (run.status_file, run.data_file, run.config_file, run.lock_file, held):
        with contextlib.suppress(OSError):
            file.unlink()
    with contextlib.suppress(OSError):
        for file in run.rows_folder.glob("rows-*.npy"):
            file.unlink()
        run.rows_folder.rmdir()
    with contextlib.suppress(OSError):
        run.path.rmdir()
