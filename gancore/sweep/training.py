"""Trains a trial in a process of its own: ``python -m gancore.sweep.training JOB``, JOB in JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from gancore.comparison.folder import read_json
from gancore.errors import DataError
from gancore.files import MAX_DATA_JSON_BYTES
from gancore.jobs import run_as_job
from gancore.run_folder import RunFolder
from gancore.sweep.jobs import TrialTraining


def train_trial(job: TrialTraining) -> None:
    """Train the trial as ``gancore train`` does, or continue its run.

    Raises:
        DataError: the data have changed since the sweep was started.
        KeyboardInterrupt: a signal stopped the training, which is saved.
    """
    from gancore import api

    run = RunFolder(Path(job.run))
    root = None if job.data_root is None else Path(job.data_root)
    result = api.train(
        **job.arguments, data_root=root, out=run.path, resume="auto", device=job.device, progress="plain"
    )
    if result.status != "done":
        raise KeyboardInterrupt
    if read_json(run.data_file, MAX_DATA_JSON_BYTES).get("fingerprint") != job.fingerprint:
        raise DataError("the data have changed since this sweep was started", "start a new sweep")


def main(job_json: str) -> int:
    """Run the job; return an exit code of the command line."""
    job = TrialTraining(**json.loads(job_json))
    return run_as_job(lambda: train_trial(job), job.parent_pid)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
