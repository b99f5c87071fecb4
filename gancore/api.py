"""The verbs as plain functions; the command line is a thin layer over them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gancore.config import RunConfig, config_hash, difference
from gancore.config_text import dump
from gancore.configure import read_config, resolve_config
from gancore.errors import CheckpointError, ConfigError, GancoreError, nearest
from gancore.files import atomic_write
from gancore.listing import RUNS, models, runs
from gancore.plugins import plugins
from gancore.training.progress import Mode, Progress, open_progress
from gancore.training.run import RunFolder, RunStatus, latest_run

if TYPE_CHECKING:
    from gancore.models.model import Model
    from gancore.training.session import Session
    from gancore.training.state import State

__all__ = ["RunResult", "generate", "load", "models", "resolve_config", "runs", "train"]


@dataclass(frozen=True)
class RunResult:
    """What training left. ``status``: done, or stopped by the user (and saved)."""

    folder: Path
    model: Path
    step: int
    status: str
    seconds: float


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
    if resume is not None and str(resume) != "auto":
        run = _existing_run(Path(resume))
        config = resolve_config(domain, **settings, base=run.config_file)
    else:
        config = resolve_config(domain, **settings)
        unfinished = _find_unfinished(config, out) if resume is not None else None
        run = unfinished or _new_run(config, out)
    shown = open_progress(progress, sys.stdout if progress == "json" else sys.stderr)
    with run.lock():
        _keep_config(run, config, force)
        return _Training(run, config, shown, data_root, init_from, force).play()


def _existing_run(path: Path) -> RunFolder:
    run = RunFolder(path)
    if run.read_status() is None:
        raise ConfigError(f"--resume {path}: there is no run", "`gancore runs` lists them")
    return run


def _find_unfinished(config: RunConfig, out: str | Path | None) -> RunFolder | None:
    if out is not None:
        run = RunFolder(Path(out))
        return run if run.read_status() is not None else None
    wanted = config_hash(config)
    return latest_run(RUNS, lambda run, status: status.config_hash == wanted)


def _new_run(config: RunConfig, out: str | Path | None) -> RunFolder:
    if out is None:
        return RunFolder.create(RUNS, f"{config.domain}-{config.recipe}-{datetime.now():%Y%m%d-%H%M%S}")
    path = Path(out)
    if RunFolder(path).read_status() is not None:
        raise ConfigError(
            f"--out {path} holds a run already", f"go on with --resume {path}, or give another --out"
        )
    if path.is_dir() and any(path.iterdir()):
        raise ConfigError(f"--out {path} is a folder with other things in it", "give a new or empty one")
    if path.exists() and not path.is_dir():
        raise ConfigError(f"--out {path} is a file", "give a folder")
    return RunFolder(path) if path.is_dir() else RunFolder.create(path.parent, path.name)


def _keep_config(run: RunFolder, config: RunConfig, force: bool) -> None:
    """Write the resolved configuration; refuse one that differs from the run's own."""
    if run.config_file.exists():
        changes = difference(read_config(run.config_file), config)
        if changes and not force:
            raise ConfigError(
                f"the configuration of {run.path} is another: {', '.join(changes)}",
                "leave the change out, start a new run, or go on all the same with --force",
            )
    atomic_write(run.config_file, dump(config))


@dataclass
class _Training:
    """One life of a run: from opening its data to its end, however it comes."""

    run: RunFolder
    config: RunConfig
    progress: Progress
    data_root: str | Path | None
    init_from: str | Path | None
    force: bool
    state: State | None = None

    def play(self) -> RunResult:
        plugins().load_all()
        status = self._status("running", 0)
        self.run.write_status(status)
        try:
            result = self._play(status)
        except BaseException as error:
            self._end("failed", status, error)
            raise
        self._end(result.status, status, None)
        return result

    def _play(self, status: RunStatus) -> RunResult:
        from gancore.training.checkpoint import newest_checkpoint
        from gancore.training.loop import train as play
        from gancore.training.session import open_session, stop_signals

        checkpoint, refused = newest_checkpoint(self.run.checkpoints)
        for reason in refused:
            self.progress.note(f"checkpoint refused: {reason}")
        if refused and checkpoint is None and not self.force:
            raise CheckpointError(
                f"no checkpoint of {self.run.path} can be used ({refused[0]})", "--force starts anew"
            )
        root = None if self.data_root is None else Path(self.data_root)
        session = open_session(self.run, self.config, root, self.progress.note)
        if checkpoint is not None:
            state = session.load(checkpoint, self.force)
            self.progress.note(f"resumed from step {state.step}")
        else:
            self._initialise(session)
            state = session.begin()
        self.state = state
        if state.step >= state.total:
            self.progress.note(f"{self.run.path} is finished: step {state.step} of {state.total}")
            return self._result(state)
        upkeep = self._upkeep(session, state, status)
        plugins().observe("gancore_train_start", run=self.run)
        with stop_signals(lambda name: setattr(state, "stopping", name)):
            try:
                upkeep.begin(
                    state,
                    f"{self.config.domain} {self.config.recipe} on {session.device} {session.precision}",
                )
                play(session.table, state, upkeep)
            finally:
                upkeep.tracker.close()
        return self._result(state)

    def _upkeep(self, session: Session, state: State, status: RunStatus) -> Any:
        from gancore.runtime.randomness import Key
        from gancore.training.evaluation import Evaluator
        from gancore.training.tracking import Tracker
        from gancore.training.upkeep import Upkeep

        held_out = session.data.valid
        valid = next(iter(held_out.values())) if isinstance(held_out, Mapping) else held_out
        settings = self.config.upkeep
        key = Key.of("valid", self.config.train.seed, device=session.device)
        evaluator = Evaluator(session.domain, session.data.spec, valid, settings.evaluate_samples, key)
        evaluator.check(settings.select, session.table.game.sampler())

        def save(now: State) -> None:
            session.save(now)
            self.run.write_status(replace(status, step=now.step, total=now.total, seconds=now.seconds))

        return Upkeep(
            run=self.run,
            table=session.table,
            domain=session.domain,
            spec=session.data.spec,
            settings=settings,
            total=state.total,
            seed=self.config.train.seed,
            progress=self.progress,
            tracker=Tracker(self.run.metrics_file, self.run.events, state.step, self.progress.note),
            evaluator=evaluator,
            save=save,
            publish=session.publish,
        )

    def _initialise(self, session: Session) -> None:
        if self.init_from is None:
            return
        from gancore.training.session import initialise

        count = initialise(session.table, _weights_of(Path(self.init_from)), str(self.init_from))
        self.progress.note(f"{count} tensors taken from {self.init_from}")

    def _result(self, state: State) -> RunResult:
        status = "stopped" if state.stopping else "done"
        return RunResult(self.run.path, self.run.model, state.step, status, state.seconds)

    def _status(self, word: Any, step: int) -> RunStatus:
        before = self.run.read_status()
        return RunStatus(
            word,
            domain=self.config.domain,
            recipe=self.config.recipe,
            source=self.config.data.source or "",
            step=step,
            started=before.started if before else "",
            config_hash=config_hash(self.config),
        )

    def _end(self, word: Any, status: RunStatus, error: BaseException | None) -> None:
        if self.state is not None:
            now = self.state
            status = replace(status, step=now.step, total=now.total, seconds=now.seconds)
        message = "" if error is None else str(error) or type(error).__name__
        self.progress.close(word)
        self.run.write_status(replace(status, status=word, error=message))
        plugins().observe("gancore_train_end", run=self.run, status=word, error=error)


def _weights_of(path: Path) -> dict[str, Any]:
    """The tensors of a run's newest checkpoint, or of a model folder."""
    from gancore.models.folder import load_model
    from gancore.training.checkpoint import newest_checkpoint

    if (path / "checkpoints").is_dir():
        checkpoint, refused = newest_checkpoint(path / "checkpoints")
        if checkpoint is None:
            raise CheckpointError(
                f"{path} has no usable checkpoint ({'; '.join(refused) or 'none is there'})"
            )
        return dict(checkpoint.tensors["game"])
    return dict(load_model(path).tensors)


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
