"""A job of a comparison, in a process of its own: ``python -m gancore.comparison.job JOB``, JOB in JSON.

A job opens the data, or runs some stages of one trial. It ends with an exit code of the command line. If it
fails, its last two lines are the error as text and as JSON. ``gancore/jobs.py`` starts jobs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gancore.comparison.config import (
    ComparisonConfig,
    Trial,
    make_trials,
    read_comparison_config,
    selection_metric,
    train_arguments,
)
from gancore.comparison.folder import ComparisonFolder, Stage, read_json, write_json
from gancore.comparison.runner import Job
from gancore.console import progress_printer
from gancore.errors import CheckpointError, DataError
from gancore.evaluation.result import EvaluationResult, write_evaluations
from gancore.evaluation.temperatures import TEMPERATURE
from gancore.files import MAX_DATA_JSON_BYTES
from gancore.jobs import run_as_job


def run_job(job: Job) -> None:
    """Run the job. Raises GancoreError for user errors."""
    folder = ComparisonFolder(Path(job.folder))
    config = read_comparison_config(folder.config_file)
    trials = make_trials(config)
    root = None if job.data_root is None else Path(job.data_root)
    if job.trial is None:
        from gancore.comparison.preparation import prepare_comparison

        return prepare_comparison(folder, config, trials, root)
    context = JobContext(folder, config, trials[job.trial], root, job.profile_speed)
    for stage in job.stages:
        if not folder.is_finished(context.trial, stage):
            _STAGE_FUNCTIONS[stage](context)


@dataclass(frozen=True)
class JobContext:
    """Arguments of a stage."""

    folder: ComparisonFolder
    config: ComparisonConfig
    trial: Trial
    data_root: Path | None
    profile_speed: bool

    @property
    def environment(self) -> Mapping[str, Any]:
        return read_json(self.folder.environment_file)

    @property
    def weights_hash(self) -> str:
        weights_hash = self.folder.weights_hash(self.trial)
        if not weights_hash:
            raise CheckpointError(f"{self.trial} has no finished model", "train it first")
        return weights_hash


def _train(context: JobContext) -> None:
    from gancore import api

    run = context.folder.run_folder(context.trial)
    select = selection_metric(context.config.select, context.environment.get("select", ""))
    arguments = train_arguments(context.config, context.trial.name, context.trial.seed, select)
    _record_machine(context)
    result = api.train(
        **arguments, data_root=context.data_root, out=run.path, resume="auto", progress="plain"
    )
    if result.status != "done":
        raise KeyboardInterrupt
    fingerprint = read_json(run.data_file, MAX_DATA_JSON_BYTES).get("fingerprint")
    if fingerprint != context.environment["data"]["fingerprint"]:
        raise DataError("the data have changed since this comparison was started", "start a new comparison")


def _record_machine(context: JobContext) -> None:
    """Add the machine to the record of machines on which the trial was trained."""
    from gancore.comparison.preparation import machine_name

    file, name = context.folder.machine_file(context.trial), machine_name(context.config.device)
    known = [known for known in read_json(file).get("machine", "").split("; ") if known]
    if name not in known:
        write_json(file, {"machine": "; ".join([*known, name])})


def _evaluate(context: JobContext) -> None:
    evaluation = _evaluate_with(context, context.config.metrics)
    replace(evaluation, model=str(context.trial)).write(context.folder.evaluation_file(context.trial))


def _evaluate_with(
    context: JobContext, metrics: Sequence[str] | None, temperature: float | None = None
) -> EvaluationResult:
    from gancore import api

    config = context.config
    return api.evaluate(
        context.folder.run_folder(context.trial).path,
        metrics=metrics,
        feature_extractor=config.feature_extractor,
        n=config.n,
        seed=config.evaluation_seed,
        temperature=temperature,
        device=config.device,
        data_root=context.data_root,
        announce=progress_printer(quiet=False),
    )


def _sample(context: JobContext) -> None:
    from gancore.comparison.gallery import add_remarks, write_gallery
    from gancore.models.model import load_model

    seed, run = context.config.evaluation_seed, context.folder.run_folder(context.trial)
    model = load_model(run.model, context.config.device)
    samples = model.sample(int(context.environment["shown"]), seed)
    samples = add_remarks(samples, model, run, context.data_root)
    write_gallery(context.folder.samples(context.trial), model.domain, samples, seed, context.weights_hash)


def _profile(context: JobContext) -> None:
    from gancore.comparison.preparation import load_trained_trial, machine_name
    from gancore.comparison.tradeoffs import profile

    weights_hash, device = context.weights_hash, context.config.device
    trained = load_trained_trial(context.folder, device, context.trial, context.data_root)
    tradeoffs = profile(trained, context.profile_speed)
    write_json(
        context.folder.tradeoffs_file(context.trial),
        {**tradeoffs, "weights": weights_hash, "machine": machine_name(device)},
    )


def _sweep(context: JobContext) -> None:
    """Evaluates the model at each temperature that is not in the file yet; a model that has no temperature
    once. What the main evaluation has measured is taken from it.
    """
    from gancore.models.model import load_model

    folder, trial = context.folder, context.trial
    model = load_model(folder.run_folder(trial).model, context.config.device)
    metrics = list(model.domain.quality_diversity_metrics)
    wanted = trial.temperatures if model.sampler.can("temperature") else (None,)
    done = folder.temperature_evaluations(trial)
    known = EvaluationResult.read(folder.evaluation_file(trial))
    for temperature in wanted:
        if any(one.metadata[TEMPERATURE] == temperature for one in done):
            continue
        has_both = set(metrics) <= {result.metric for result in known}
        if temperature in (None, 1.0) and has_both:
            made = replace(known, results=tuple(known[metric] for metric in metrics))
        else:
            made = _evaluate_with(context, metrics, temperature)
        metadata = {**made.metadata, TEMPERATURE: temperature}
        done.append(replace(made, model=str(trial), metadata=metadata))
        done.sort(key=lambda one: one.metadata[TEMPERATURE] or 1.0)
        write_evaluations(folder.temperatures_file(trial), done)


_STAGE_FUNCTIONS: dict[Stage, Callable[[JobContext], None]] = {
    "train": _train,
    "evaluate": _evaluate,
    "show": _sample,
    "sweep": _sweep,
    "time": _profile,
}


def main(job_json: str) -> int:
    """Run a job; return an exit code of the command line."""
    job = Job(**json.loads(job_json))
    return run_as_job(lambda: run_job(job), job.parent_pid)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
