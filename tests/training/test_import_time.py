"""A budget of time counts from the beginning of the command's work, its imports included."""

from dataclasses import replace

from gancore.config_layers import resolve_config
from gancore.progress import open_progress
from gancore.run_folder import RunFolder
from gancore.runtime.clock import active_time
from gancore.training.launch import TrainJob, run_job
from gancore.training.state import TrainState
from gancore.training.trainer import Trainer


def test_imports_count_in_a_budget_of_time(tmp_path, monkeypatch):
    """Those in one training, and those that the process makes for it."""
    spent = []

    def plan(setup, seconds, config, measure_costs, started):
        spent.append(active_time() - started)
        return TrainState([1])

    monkeypatch.setattr("gancore.training.run_context.plan_time", plan)
    job = TrainJob(RunFolder(tmp_path / "run"), resolve_config("synthetic", time=5), progress="none")
    job.run.path.mkdir()
    with job.run.lock() as lock:
        Trainer(job, lock, open_progress("none", None), import_seconds=1000.0).fit()
    other = RunFolder(tmp_path / "other")
    other.path.mkdir()
    run_job(replace(job, run=other))
    assert spent[0] > 1000.0 > spent[1] > 0.0
