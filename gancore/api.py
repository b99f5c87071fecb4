"""The verbs as plain functions; the command line is a thin layer over them."""

from __future__ import annotations

import operator
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gancore.arguments import checked
from gancore.config import RunConfig
from gancore.configure import resolve_config
from gancore.data.lock import exclusive
from gancore.data.rows import as_rows, is_rows
from gancore.errors import GancoreError, printable
from gancore.evaluation.reading import Evaluation, keep_evaluation
from gancore.listing import RUNS, models, runs
from gancore.loading import load, load_game, model_folder, origin_folder
from gancore.plugins import plugins
from gancore.seeing import film, generate, neighbours
from gancore.training.launch import Order, carry_out, heed
from gancore.training.lifetime import RunResult
from gancore.training.placing import existing_run, find_unfinished, keep_rows, new_run
from gancore.training.progress import Mode
from gancore.training.run import RunFolder

if TYPE_CHECKING:
    from gancore.comparison.runner import Comparison

__all__ = [
    "RunResult",
    "compare",
    "evaluate",
    "film",
    "generate",
    "load",
    "load_game",
    "models",
    "neighbours",
    "resolve_config",
    "runs",
    "train",
]


@checked
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

    ``data`` is a name, a path, or a tensor or array of rows. Rows are kept as a file in the run's folder, so
    that any process can resume and evaluate it; the domain says which shapes it reads.

    ``resume`` is a run folder, or ``"auto"``: the last unfinished run of this configuration and these data,
    else a new one. A run that is named may be given another budget, counted from its beginning.
    ``init_from`` is a run or model, or the name of a model, whose weights training starts from. ``devices``:
    processes, each with its share of every batch and an accelerator of its own where there are any; a script
    that gives it needs ``if __name__ == "__main__":`` around what it does.

    Ctrl-C, SIGTERM, SIGHUP and SIGUSR1 finish the round and save; then they do what they would have done
    without gancore: call the program's own handler, or end it.

    Raises:
        GancoreError: a mistake that the user can mend, in one line.
        KeyboardInterrupt: after Ctrl-C; what was saved stands in its ``result``, a RunResult.
        SystemExit: after SIGTERM and its like where the program does not handle them.
    """
    plugins().strict = strict_plugins

    def order() -> Order:
        origin = None if init_from is None else origin_folder(init_from, _on_stderr)
        rows = as_rows(settings["data"]) if is_rows(settings.get("data")) else None
        asked = settings if rows is None else {**settings, "data": rows.name}
        run, config = _place(domain, _path(out), resume, _path(data_root), asked)
        if rows is not None:
            keep_rows(run, config, rows, force)
        return Order(run, config, _path(data_root), origin, force, progress, strict_plugins)

    return heed(carry_out(order, devices))


def _place(
    domain: str | None,
    out: Path | None,
    resume: str | Path | None,
    data_root: Path | None,
    settings: dict[str, Any],
) -> tuple[RunFolder, RunConfig]:
    """The run folder to write, and the configuration that it is trained by."""
    if resume is not None and str(resume) != "auto":
        run = existing_run(Path(os.path.expanduser(resume)))
        base = run.config_file if run.config_file.exists() else None
        config = resolve_config(domain, **settings, base=base)
    else:
        config = resolve_config(domain, **settings)
        unfinished = find_unfinished(config, out, RUNS, data_root) if resume is not None else None
        run = unfinished or new_run(config, out, RUNS)
    return run, config


def _on_stderr(line: str) -> None:
    print(printable(line), file=sys.stderr, flush=True)


def _path(given: str | Path | None) -> Path | None:
    return None if given is None else Path(os.path.expanduser(given))


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


@checked
def evaluate(
    model: str | Path,
    *,
    against: str | Path | None = None,
    measures: Sequence[str] | None = None,
    features: str | None = None,
    n: int | None = None,
    split: str = "test",
    seed: int = 0,
    device: str = "auto",
    data_root: str | Path | None = None,
    out: str | Path | None = None,
    card: bool = False,
    announce: Callable[[str], None] = _silent,
) -> Evaluation:
    """Measure ``n`` samples of a model beside the ``split`` of the data that it was trained on.

    By default there are as many samples as the split has rows, from 300 to 2,000.

    ``against``: another source, a name or a path, read with the model's own settings of the data.
    ``measures``: names; by default the quick ones. ``features``: by default the domain's first.
    The evaluation is kept in the run's folder (``measures.jsonl``), and written to ``out`` alone; with
    ``card`` the readings that can be trusted go onto the model's card.

    Raises:
        GancoreError: a mistake that the user can mend, in one line.
    """
    from gancore.evaluation.runner import Question, answer

    question = Question(
        folder=model_folder(model, announce),
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


@checked
def compare(
    domain: str | None = None,
    *,
    budget: str | None = None,
    recipes: Sequence[str] = (),
    data: str | Path | Any | None = None,
    seeds: int | Sequence[int] = 1,
    overrides: Sequence[str] = (),
    grid: Sequence[str] = (),
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
    ``"name:key=value"``. ``grid``: ``"key=value,value"``, tried in every combination by every recipe.
    ``seeds``: how many (0, 1, ...), or which; they are added to those that ``out`` has. ``select``: the
    measure on valid that chooses each model, or ``"last"``; by default the domain's own. What is finished in
    ``out`` is not made again; ``resume`` is such a folder, and asks nothing else.

    Raises:
        GancoreError: a mistake that the user can mend, in one line. A recipe that fails raises nothing: see
            ``failures`` of what is returned.
    """
    from gancore.comparison import asking

    if resume is not None:
        return asking.resume(Path(resume), jobs, _path(data_root), announce)
    told = {
        "domain": domain,
        "data": data,
        "budget": budget,
        "seeds": [operator.index(seed) for seed in seeds]
        if isinstance(seeds, Sequence)
        else operator.index(seeds),
        "settings": list(overrides),
        "grid": list(grid),
        "select": select,
        "n": n,
        "measures": None if measures is None else list(measures),
        "features": features,
        "evaluation_seed": evaluation_seed,
        "device": device,
    }
    return asking.begin(told, recipes, jobs, _path(data_root), _path(out), RUNS, announce)
