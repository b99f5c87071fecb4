"""A process that plays its rows of every batch and writes nothing."""

from __future__ import annotations

from pathlib import Path

from gancore.config import RunConfig
from gancore.plugins import plugins
from gancore.runtime.processes import Processes
from gancore.training.agreement import agreeing, stop_signals
from gancore.training.lifetime import RunResult
from gancore.training.loop import train
from gancore.training.run import RunFolder
from gancore.training.session import open_session


def follow(run: RunFolder, config: RunConfig, data_root: Path | None, processes: Processes) -> RunResult:
    """Begin where the first process begins, and end when it ends."""
    plugins().load_all()
    session = open_session(run, config, data_root, lambda line: None, processes)
    state = session.start(None)
    with stop_signals(state):
        forget = session.table.statistics.forget
        train(session.table, state, agreeing(lambda state: forget(), processes))
    status = "stopped" if state.stopping else "done"
    return RunResult(run.path, run.model, state.step, status, state.seconds, state.stopping, processes.rank)
