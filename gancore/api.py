"""The public functions ``train``, ``evaluate`` and ``compare``, which the command line calls."""

from __future__ import annotations

import operator
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gancore.arguments import validate_arguments, validate_arguments_with
from gancore.config import RunConfig
from gancore.config_layers import resolve_config
from gancore.console import progress_printer
from gancore.data.sources import array_source, is_array
from gancore.errors import GancoreError
from gancore.evaluation.result import EvaluationResult, store_evaluation, write_evaluations
from gancore.file_lock import exclusive_lock
from gancore.model_lookup import find_model, find_origin, load, load_game
from gancore.plugins import plugins
from gancore.plugins.imports import require_no_import
from gancore.progress import ProgressMode, silent
from gancore.run_folder import RunFolder
from gancore.summaries import RUNS, list_models, list_runs
from gancore.training.launch import TrainJob, deliver_signal, launch
from gancore.training.resume import existing_run, find_unfinished, new_run, write_rows
from gancore.training.trainer import RunResult
from gancore.visualize import animate, generate, neighbours

if TYPE_CHECKING:
    from gancore.comparison.runner import ComparisonResult
    from gancore.evaluation.runner import EvaluationRequest
    from gancore.models.export import ExportedModel

__all__ = [
    "RunResult",
    "animate",
    "compare",
    "evaluate",
    "evaluate_temperatures",
    "export_model",
    "generate",
    "list_models",
    "list_runs",
    "load",
    "load_game",
    "neighbours",
    "pull_model",
    "push_model",
    "push_space",
    "resolve_config",
    "train",
]


@validate_arguments_with(settings=resolve_config)
def train(
    domain: str | None = None,
    *,
    data_root: str | Path | None = None,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    devices: int | None = None,
    init_from: str | Path | None = None,
    force: bool = False,
    progress: ProgressMode = "plain",
    strict_plugins: bool = False,
    **settings: Any,
) -> RunResult:
    """Train a model.

    Ctrl-C, SIGTERM, SIGHUP and SIGUSR1 finish the current step and save a checkpoint. The signal is then
    delivered to the handler of the program; without a handler it ends the program.

    Args:
        domain: the kind of data; None for examples in memory with ``game``.
        data_root: a folder with named data sets.
        out: the run folder; by default a new one in ``runs``.
        resume: a run folder, which may get another budget (it counts from the first step of the run); or
            ``"auto"``, the newest unfinished run with this configuration and these data, otherwise a new run.
        devices: the number of processes. Each computes a part of every batch, on an accelerator of its own if
            there are any. A script that sets it needs ``if __name__ == "__main__":`` around its code.
        init_from: a run, a model folder, or the name of a model, from whose weights training starts. Its
            recipe and the settings of its network are kept where no setting here says otherwise.
        force: resume although the configuration has changed.
        progress: how progress is shown: ``"live"``, ``"plain"``, ``"json"`` or ``"none"``.
        strict_plugins: raise the first error of a plugin.
        **settings: the settings of :func:`resolve_config`. ``data`` is a name, a path, or examples: a tensor,
            an array or a ``torch.utils.data.Dataset``. Examples in memory are saved in the run folder, so
            that any process can resume and evaluate the run; the domain defines which shapes it accepts.
            ``game`` is a function ``build(spec)`` that builds the game, for data of any shape without a
            domain, or a subclass of ``AdversarialGame`` that changes a term of the recipe. A run stores the
            function as ``module:function``; other processes import that module.

    Raises:
        GancoreError: an argument or the data are wrong, or training cannot continue; the message is one line.
        KeyboardInterrupt: after Ctrl-C; its ``result`` is the RunResult of the saved training.
        SystemExit: after SIGTERM, SIGHUP or SIGUSR1, if the program does not handle them.
    """
    require_no_import("train")
    plugins().strict = strict_plugins

    def make_job() -> TrainJob:
        origin = None if init_from is None else find_origin(init_from, progress_printer(quiet=False))
        rows = array_source(settings["data"]) if is_array(settings.get("data")) else None
        train_settings = settings if rows is None else {**settings, "data": rows.name}
        run, config = _resolve_run(
            domain, _expand(out), resume, _expand(data_root), {**train_settings, "origin": origin}
        )
        if rows is not None:
            write_rows(run, config, rows, force)
        return TrainJob(run, config, _expand(data_root), origin, force, progress, strict_plugins)

    return deliver_signal(launch(make_job, devices))


def _resolve_run(
    domain: str | None,
    out: Path | None,
    resume: str | Path | None,
    data_root: Path | None,
    settings: dict[str, Any],
) -> tuple[RunFolder, RunConfig]:
    """The run folder and the configuration of the run."""
    if resume is not None and str(resume) != "auto":
        run = existing_run(Path(os.path.expanduser(resume)))
        base = run.config_file if run.config_file.exists() else None
        config = resolve_config(domain, **settings, base=base)
    else:
        config = resolve_config(domain, **settings)
        unfinished = find_unfinished(config, out, RUNS, data_root) if resume is not None else None
        run = unfinished or new_run(config, out, RUNS)
    return run, config


def _expand(path: str | Path | None) -> Path | None:
    return None if path is None else Path(os.path.expanduser(path))


def _store_evaluation(file: Path, evaluation: EvaluationResult, announce: Callable[[str], None]) -> None:
    """Add the evaluation to those of the run, under a lock. A write error is announced, not raised."""
    try:
        with exclusive_lock(file.with_suffix(".lock"), announce):
            store_evaluation(file, evaluation)
    except (OSError, GancoreError) as error:
        announce(f"the evaluation was not stored: {error}")
    else:
        announce(f"stored in {file}")


@validate_arguments
def evaluate(
    model: str | Path,
    *,
    data: str | Path | None = None,
    metrics: Sequence[str] | None = None,
    feature_extractor: str | None = None,
    n: int | None = None,
    split: str = "test",
    seed: int = 0,
    temperature: float | None = None,
    device: str = "auto",
    data_root: str | Path | None = None,
    out: str | Path | None = None,
    update_card: bool = False,
    announce: Callable[[str], None] = silent,
) -> EvaluationResult:
    """Evaluate samples of a model against a split of its training data.

    The result is stored in the run folder (``evaluations.jsonl``).

    Args:
        model: a run folder, a model folder, or the name of a model.
        data: another source, a name or a path, which is read with the data settings of the model.
        metrics: names of metrics; by default the fast ones.
        feature_extractor: name of the feature extractor; by default the first one of the domain.
        n: the number of samples; by default the number of examples of the split, at least 300, at most 2,000.
        split: ``"test"``, ``"valid"`` or ``"train"``.
        seed: the seed of samples and metrics.
        temperature: temperature of the samples, for models that have one.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``.
        data_root: a folder with named data sets.
        out: a file to which the result is also written.
        update_card: write the trusted results into the model card.
        announce: called with each line of progress.

    Raises:
        GancoreError: an argument, the model or the data are wrong; the message is one line.
    """
    from gancore.evaluation.runner import run_evaluation

    request = _evaluation_request(locals())
    evaluation = run_evaluation(request)
    _store_evaluations(request, [evaluation], out)
    if update_card:
        from gancore.evaluation.report import write_to_card

        write_to_card(request.folder, evaluation)
    return evaluation


@validate_arguments
def evaluate_temperatures(
    model: str | Path,
    temperatures: Sequence[float],
    *,
    data: str | Path | None = None,
    metrics: Sequence[str] | None = None,
    feature_extractor: str | None = None,
    n: int | None = None,
    split: str = "test",
    seed: int = 0,
    device: str = "auto",
    data_root: str | Path | None = None,
    out: str | Path | None = None,
    announce: Callable[[str], None] = silent,
) -> list[EvaluationResult]:
    """Evaluate a model at each temperature, in ascending order: the curve of quality against diversity.

    The metrics are the domain's two for this curve (``Domain.quality_diversity_metrics``), and ``metrics``.
    The other arguments are those of :func:`evaluate`, and the same at each temperature.

    Raises:
        GancoreError: a user error, described in one line; also if the model's samples have no temperature.
    """
    from gancore.evaluation.runner import run_temperatures

    request = _evaluation_request(locals())
    evaluations = run_temperatures(request, temperatures)
    _store_evaluations(request, evaluations, out)
    return evaluations


def _evaluation_request(arguments: Mapping[str, Any]) -> EvaluationRequest:
    """Arguments of :func:`evaluate` by name."""
    from gancore.evaluation.runner import EvaluationRequest

    announce, data, metrics = (arguments[name] for name in ("announce", "data", "metrics"))
    return EvaluationRequest(
        folder=find_model(arguments["model"], announce),
        model_name=str(arguments["model"]),
        against=None if data is None else str(data),
        metrics=None if metrics is None else tuple(metrics),
        features=arguments["feature_extractor"],
        n=arguments["n"],
        split=arguments["split"],
        seed=arguments["seed"],
        temperature=arguments.get("temperature"),
        device=arguments["device"],
        data_root=_expand(arguments["data_root"]),
        progress="none" if announce is silent else "plain",
        announce=announce,
    )


def _store_evaluations(
    request: EvaluationRequest, evaluations: Sequence[EvaluationResult], out: str | Path | None
) -> None:
    """In the run folder that holds the model, and in ``out``."""
    if request.run is not None:
        for evaluation in evaluations:
            _store_evaluation(request.run.evaluations_file, evaluation, request.announce)
    if out is not None:
        write_evaluations(Path(out), evaluations)


@validate_arguments
def export_model(
    model: str | Path,
    out: str | Path,
    *,
    form: str = "onnx",
    overwrite: bool = False,
    announce: Callable[[str], None] = silent,
) -> ExportedModel:
    """Write the generator of a model as a graph from latents (and labels) to samples.

    The graph is compared with gancore for 1 and for 5 rows: it is within 1e-4 of the largest value, or
    nothing is written.

    Args:
        model: a run folder, a model folder, or the name of a model.
        out: the file.
        form: ``"onnx"``, with the program ``sample.py`` beside the file, which samples with numpy and
            onnxruntime alone; or ``"torch"``, a program of ``torch.export``.
        overwrite: replace the files.
        announce: called with each line about downloads.

    Raises:
        GancoreError: the model's samples are no function of latents, or the files cannot be written.
    """
    from gancore.models.export import export_graph
    from gancore.models.model import load_model

    found = load_model(find_model(model, announce), "cpu")
    return export_graph(found, Path(os.path.expanduser(out)), form, overwrite)  # type: ignore[arg-type]


@validate_arguments
def push_model(
    model: str | Path, name: str, *, private: bool = False, announce: Callable[[str], None] = silent
) -> str:
    """Send a model to the Hugging Face hub, and return the address of the commit.

    Args:
        model: a run folder, a model folder, or the name of a model.
        name: ``hub:OWNER/NAME``; the repository is made if there is none.
        private: whether a new repository is private.
        announce: called with each line of progress.

    Raises:
        GancoreError: the model cannot be read, its card is none of the hub, or the hub refuses it.
    """
    from gancore.hub import parse_hub_name
    from gancore.models import hub

    target = parse_hub_name(name)
    return hub.push_model(find_model(model, announce), target, private, announce)


@validate_arguments
def push_space(
    model: str | Path, name: str, *, private: bool = False, announce: Callable[[str], None] = silent
) -> str:
    """Send a page to play with a model as a Space of the Hugging Face hub; see :func:`push_model`.

    The Space holds what ``gancore app MODEL --space FOLDER`` writes.
    """
    from gancore.app.space import write_space
    from gancore.hub import parse_hub_name
    from gancore.models import hub

    target = parse_hub_name(name)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "space"
        write_space(model, folder, announce)
        return hub.push_space(folder, target, private, announce)


@validate_arguments
def pull_model(name: str, *, revision: str | None = None, announce: Callable[[str], None] = silent) -> Path:
    """Fetch a model from the Hugging Face hub, and return its folder in the cache of huggingface_hub.

    Args:
        name: ``hub:OWNER/NAME``.
        revision: a branch, a tag or a commit; by default ``main``.
        announce: called with each line of progress.

    Raises:
        GancoreError: there is no such model, it cannot be reached, or it is damaged.
    """
    from gancore.hub import parse_hub_name
    from gancore.models import hub
    from gancore.models.folder import read_model_folder

    folder = hub.fetch_model(parse_hub_name(name, revision), announce)
    read_model_folder(folder)
    return folder


def _plain_seeds(seeds: int | Sequence[int] | None) -> int | list[int] | None:
    """The seeds as Python integers; they may be integers of numpy."""
    if isinstance(seeds, Sequence):
        return [operator.index(seed) for seed in seeds]
    return None if seeds is None else operator.index(seeds)


@validate_arguments
def compare(
    domain: str | None = None,
    *,
    steps: int | str | None = None,
    samples: int | str | None = None,
    time: float | str | None = None,
    recipes: Sequence[str] = (),
    data: str | Path | Any | None = None,
    seeds: int | Sequence[int] | None = None,
    overrides: Sequence[str] = (),
    grid: Sequence[str] = (),
    select: str | None = None,
    n: int | None = None,
    metrics: Sequence[str] | None = None,
    temperatures: Sequence[float] | None = None,
    feature_extractor: str | None = None,
    evaluation_seed: int | None = None,
    device: str | None = None,
    jobs: int = 1,
    data_root: str | Path | None = None,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    announce: Callable[[str], None] = silent,
) -> ComparisonResult:
    """Train recipes under the same conditions, evaluate them in the same way, and write a report.

    Each training is a process of its own. Finished parts in ``out`` are not computed again.

    Args:
        domain: the kind of data.
        steps: the budget of each training; this, ``samples`` or ``time``.
        samples: the budget in examples.
        time: the budget in time, such as ``"10m"``.
        recipes: names, or ``"name=recipe"``; by default all recipes of the domain.
        data: a name, a path, or examples in memory; by default the built-in data.
        seeds: a number of seeds (0, 1, ...; by default 1) or a list; they are added to those of ``out``.
        overrides: ``"key=value"`` for all recipes, or ``"name:key=value"`` for one.
        grid: ``"key=value,value"``; every recipe is trained with every combination.
        temperatures: further evaluations of models that have a temperature; by default those of the domain;
            they are added to those of ``out``.
        select: the metric on valid that selects each model, or ``"last"``; by default that of the domain.
        n: the number of samples of each model; by default 2,000.
        metrics: names of metrics; by default the fast ones.
        feature_extractor: name of the feature extractor; by default the first one of the domain.
        evaluation_seed: the seed of the evaluated samples; by default 0.
        device: device of training, evaluation and timing; by default ``"auto"``.
        jobs: the number of trainings at the same time.
        data_root: a folder with named data sets.
        out: the folder of the comparison; by default a new one in ``runs``.
        resume: the folder of a comparison, which is continued with its stored settings; only ``seeds`` and
            ``temperatures`` can be added.
        announce: called with each line of progress.

    Raises:
        GancoreError: an argument or the data are wrong; the message is one line. A recipe that fails does not
            raise an error: see ``failures`` of the result.
    """
    from gancore.comparison import runner

    values = {
        "domain": domain,
        "data": data,
        "steps": steps,
        "samples": samples,
        "time": time,
        "seeds": _plain_seeds(seeds),
        "overrides": list(overrides),
        "grid": list(grid),
        "select": select,
        "n": n,
        "metrics": None if metrics is None else list(metrics),
        "temperatures": None if temperatures is None else list(temperatures),
        "feature_extractor": feature_extractor,
        "evaluation_seed": evaluation_seed,
        "device": device,
    }
    if resume is not None:
        given = {**values, "recipes": recipes, "out": out}
        return runner.resume_comparison(Path(resume), given, jobs, _expand(data_root), announce)
    return runner.start_comparison(values, recipes, jobs, _expand(data_root), _expand(out), RUNS, announce)
