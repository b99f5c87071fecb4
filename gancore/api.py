"""The verbs as plain functions; the command line is a thin layer over them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gancore.config import RunConfig
from gancore.configure import resolve_config
from gancore.data.lock import exclusive
from gancore.errors import CheckpointError, ConfigError, GancoreError, nearest
from gancore.evaluation.reading import Evaluation, keep_evaluation
from gancore.listing import RUNS, models, runs
from gancore.plugins import plugins
from gancore.training.launch import Order, carry_out
from gancore.training.lifetime import RunResult
from gancore.training.placing import existing_run, find_unfinished, new_run
from gancore.training.progress import Mode
from gancore.training.run import RunFolder

if TYPE_CHECKING:
    from gancore.comparison.runner import Comparison
    from gancore.domain import Domain, Samples
    from gancore.models.model import Model

__all__ = [
    "RunResult",
    "compare",
    "evaluate",
    "generate",
    "load",
    "models",
    "resolve_config",
    "runs",
    "train",
]


def train(
    domain: str | None = None,
    *,
    data_root: str | Path | None = None,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    devices: int | None = None,
    init_from: str | Path | None = None,
    force: bool = False,
    progress: Mode = "plain",
    strict_plugins: bool = False,
    **settings: Any,
) -> RunResult:
    """Train a model; ``settings`` are those of :func:`resolve_config`.

    ``resume`` is a run folder, or ``"auto"``: the last unfinished run of this configuration, else a new
    one. ``init_from`` is a run or model whose weights training starts from. ``devices``: processes, each
    with its share of every batch and an accelerator of its own where there are any; a script that gives
    it needs ``if __name__ == "__main__":`` around what it does.

    Raises:
        GancoreError: a mistake that the user can mend, in one line.
    """
    plugins().strict = strict_plugins

    def order() -> Order:
        run, config = _place(domain, _path(out), resume, settings)
        return Order(run, config, _path(data_root), _path(init_from), force, progress, strict_plugins)

    return carry_out(order, devices)


def _place(
    domain: str | None, out: Path | None, resume: str | Path | None, settings: dict[str, Any]
) -> tuple[RunFolder, RunConfig]:
    """The run folder to write, and the configuration that it is trained by."""
    if resume is not None and str(resume) != "auto":
        run = existing_run(Path(resume))
        base = run.config_file if run.config_file.exists() else None
        return run, resolve_config(domain, **settings, base=base)
    config = resolve_config(domain, **settings)
    unfinished = find_unfinished(config, out, RUNS) if resume is not None else None
    return unfinished or new_run(config, out, RUNS), config


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
    each_label: bool = False,
    interpolate: int | None = None,
    truncation: float | None = None,
    batch_size: int = 64,
    device: str = "auto",
) -> list[Path]:
    """Write ``n`` samples into ``out``; returns the files. The same seed gives the same samples.

    ``each_label``: ``n`` of every label, side by side. ``interpolate``: ``n`` ways of so many steps from one
    sample to another. ``truncation``: see :meth:`gancore.models.model.Model.sample`.
    """
    if each_label and label is not None:
        raise ConfigError(f"each label, and {label!r} alone", "give one of --label and --each-label")
    loaded = load(model, device)
    if interpolate is not None and each_label:
        samples = loaded.interpolation_of_each_label(n, interpolate, seed, truncation)
    elif interpolate is not None:
        samples = loaded.interpolation(n, interpolate, seed, label, truncation)
    elif each_label:
        samples = loaded.each_label(n, seed, batch_size, truncation)
    else:
        samples = loaded.sample(n, seed, label, batch_size, truncation)
    return _write(loaded.domain, samples, Path(out))


def _write(domain: Domain, samples: Samples, folder: Path) -> list[Path]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return domain.write(samples, folder)
    except OSError as error:
        raise GancoreError(
            f"cannot write samples to {folder}: {error.strerror}", "give another --out"
        ) from error


def _keep(file: Path, evaluation: Evaluation, announce: Callable[[str], None]) -> None:
    """In the run's folder, one process at a time. Where it cannot be written, nothing else is lost."""
    try:
        with exclusive(file.with_suffix(".lock"), announce):
            keep_evaluation(file, evaluation)
    except (OSError, GancoreError) as error:
        announce(f"the evaluation is not kept: {error}")
    else:
        announce(f"kept in {file}")


def _silent(line: str) -> None:
    """Tells nobody."""


def evaluate(
    model: str | Path,
    *,
    against: str | Path | None = None,
    measures: Sequence[str] | None = None,
    features: str | None = None,
    n: int = 2000,
    split: str = "test",
    seed: int = 0,
    device: str = "auto",
    data_root: str | Path | None = None,
    out: str | Path | None = None,
    card: bool = False,
    announce: Callable[[str], None] = _silent,
) -> Evaluation:
    """Measure ``n`` samples of a model beside the ``split`` of the data that it was trained on.

    ``against``: another source, a name or a path, read with the model's own settings of the data.
    ``measures``: names; by default the quick ones. ``features``: by default the domain's first.
    The evaluation is kept in the run's folder (``measures.jsonl``), and written to ``out`` alone; with
    ``card`` the readings that can be trusted go onto the model's card.

    Raises:
        GancoreError: a mistake that the user can mend, in one line.
    """
    from gancore.evaluation.runner import Question, answer

    question = Question(
        folder=_model_folder(model),
        name=str(model),
        against=None if against is None else str(against),
        measures=None if measures is None else tuple(measures),
        features=features,
        n=n,
        split=split,
        seed=seed,
        device=device,
        data_root=_path(data_root),
        progress="none" if announce is _silent else "plain",
        announce=announce,
    )
    evaluation = answer(question)
    if question.run is not None:
        _keep(question.run.measures_file, evaluation, announce)
    if out is not None:
        evaluation.write(Path(out))
    if card:
        from gancore.evaluation.carding import put_on_card

        put_on_card(question.folder, evaluation)
    return evaluation


def compare(
    domain: str | None = None,
    *,
    budget: str | None = None,
    recipes: Sequence[str] = (),
    data: str | Path | None = None,
    seeds: int = 1,
    overrides: Sequence[str] = (),
    select: str | None = None,
    n: int = 2000,
    measures: Sequence[str] | None = None,
    features: str | None = None,
    evaluation_seed: int = 0,
    device: str = "auto",
    jobs: int = 1,
    data_root: str | Path | None = None,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    announce: Callable[[str], None] = lambda line: None,
) -> Comparison:
    """Train recipes alike, each in processes of its own, judge them alike, and write a page about it.

    ``budget``: of each training, as ``"10m"``, ``"20000 steps"`` or ``"1e6 samples"``. ``recipes``: names, or
    ``"name=recipe"``; by default all of the domain. ``overrides``: ``"key=value"`` for all, or
    ``"name:key=value"``. ``select``: the measure on valid that chooses each model, or ``"last"``; by default
    the domain's own. What is finished in ``out`` is not made again; ``resume`` is such a folder, and asks
    nothing else.

    Raises:
        GancoreError: a mistake that the user can mend, in one line. A recipe that fails raises nothing: see
            ``failures`` of what is returned.
    """
    from gancore.comparison import asking

    if resume is not None:
        return asking.resume(Path(resume), jobs, _path(data_root), announce)
    told = {
        "domain": domain,
        "data": None if data is None else str(data),
        "budget": budget,
        "seeds": seeds,
        "settings": list(overrides),
        "select": select,
        "n": n,
        "measures": None if measures is None else list(measures),
        "features": features,
        "evaluation_seed": evaluation_seed,
        "device": device,
    }
    return asking.begin(told, recipes, jobs, _path(data_root), _path(out), RUNS, announce)
