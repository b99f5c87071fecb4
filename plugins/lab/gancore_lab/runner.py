"""Runs an experiment by name and writes its verdict, its plot and its JSON."""

from __future__ import annotations

import io
import math
import platform
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from gancore import ConfigError, ExperimentEntry, GancoreError, PluginError
from gancore.data import atomic_write
from gancore.plugins import plugins
from gancore.text import short_repr, suggestion
from gancore_lab.experiment import Check, Experiment, ExperimentResult, override_settings

ALL = "all"


@dataclass(frozen=True)
class ExperimentReport:
    """A finished experiment. ``content`` is the content of result.json in ``folder``."""

    name: str
    reproduced: bool
    summary: str
    folder: Path
    content: dict[str, Any]


def experiment_entries() -> dict[str, ExperimentEntry]:
    """All registered experiments by name, in the order of their plugins."""
    records = plugins().entries("gancore_experiments")
    return {entry.name: entry for entry in records if isinstance(entry, ExperimentEntry)}


def load_experiment(entry: ExperimentEntry) -> Experiment:
    """Load the experiment of an entry.

    Raises PluginError if it cannot be imported or is not an Experiment.
    """
    experiment = plugins().load_object(entry)
    if not isinstance(experiment, Experiment):
        raise PluginError(
            f"the experiment {entry.name!r} is {entry.target!r}, a {type(experiment).__name__}",
            "let the record name an instance of gancore_lab.Experiment",
        )
    return experiment


def select_experiments(names: Iterable[str]) -> list[ExperimentEntry]:
    """The experiments with these names, each once; ``all`` means all experiments.

    Raises:
        ConfigError: no experiment has this name.
    """
    known = experiment_entries()
    selected: dict[str, ExperimentEntry] = {}
    for name in names:
        if name != ALL and name not in known:
            raise ConfigError(f"there is no experiment {name!r}", suggestion(name, [*known, ALL]))
        selected |= known if name == ALL else {name: known[name]}
    return list(selected.values())


def run_experiment(
    name: str,
    experiment: Experiment,
    out: Path,
    *,
    quick: bool = False,
    seed: int = 0,
    overrides: Sequence[str] = (),
) -> ExperimentReport:
    """Run an experiment and write ``out/name/result.json``, then ``out/name/picture.png``.

    Args:
        name: name of the experiment.
        experiment: the experiment.
        out: the parent of the folder of the results.
        quick: run the quick version.
        seed: seed of networks, data and latents.
        overrides: settings as ``"key=value"``.

    Raises:
        ConfigError: there is no such setting, or the experiment cannot be run or plotted with its value.
    """
    settings = override_settings(name, experiment.settings_for(quick), overrides)
    began, cpu_began = time.perf_counter(), time.process_time()
    with _as_config_error(name, overrides, "cannot be run"):
        result = _run_single_threaded(experiment, settings, seed)
    seconds = {"seconds": time.perf_counter() - began, "core_seconds": time.process_time() - cpu_began}
    content = {
        "name": name,
        **_content(experiment, settings, result),
        "seed": seed,
        "quick": quick,
        "changed": list(overrides),
        "versions": versions(),
        **{name: round(value, 2) for name, value in seconds.items()},
        "picture": "picture.png",
    }
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "picture.png").unlink(missing_ok=True)  # of an earlier result
    atomic_write(folder / "result.json", _dump(content))
    with _as_config_error(name, overrides, f"is measured ({folder / 'result.json'}), but cannot be plotted"):
        image = _render_png(experiment, result)
    atomic_write(folder / "picture.png", image)
    return ExperimentReport(name, result.reproduced, content["verdict"]["figure"], folder, content)


def _content(experiment: Experiment, settings: dict[str, Any], result: ExperimentResult) -> dict[str, Any]:
    """What result.json says of the experiment itself."""
    return {
        "question": experiment.question,
        "setup": {**settings, **result.extra_settings},
        "prediction": experiment.prediction,
        "source": experiment.source,
        "measurement": [_check_json(check) for check in result.checks],
        "remarks": list(result.notes),
        "found": result.extra,
        "verdict": {"reproduced": result.reproduced, "figure": summarise(result)},
    }


@contextmanager
def _as_config_error(name: str, overrides: Sequence[str], failed: str) -> Iterator[None]:
    """Context manager that converts an error to a ConfigError about the overrides, if there are any."""
    try:
        yield
    except GancoreError:
        raise
    except Exception as error:
        if not overrides:
            raise
        reason = short_repr(f"{type(error).__name__}: {error}")
        raise ConfigError(
            f"{name} {failed} with --set {' --set '.join(overrides)} ({reason})",
            f"use values closer to the defaults (`gancore lab {name} --print-config`)",
        ) from error


def summarise(result: ExperimentResult) -> str:
    """The number of predictions that hold, and the largest difference relative to its tolerance."""
    decided = result.decided
    if not decided:
        return "there are no predictions"
    held = sum(bool(check.holds) for check in decided)
    text = f"{held} of {len(decided)} predictions hold"
    missed = [check for check in decided if not check.holds]
    if missed:
        return f"{text}; not: {'; '.join(map(describe_check, missed))}"
    equal = [check for check in decided if check.difference is not None and check.tolerance > 0]
    if equal:
        worst = max(equal, key=lambda check: (check.difference or 0.0) / check.tolerance)
        text += f"; largest difference: {worst.name}, {worst.difference:.1e} of {worst.tolerance:.1e} allowed"
    return text


def describe_check(check: Check) -> str:
    """A check as text: ``rate: GAN + R1 1, simultaneous: 0.90001 (predicted 0.9)``."""
    relation = "" if check.relation == "=" else f"{check.relation} "
    return f"{check.name}: {check.measured:.6g} (predicted {relation}{check.predicted:.6g})"


def versions() -> dict[str, str]:
    names = ("gancore", "gancore-lab", "torch", "numpy", "matplotlib")
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in names}}


def _run_single_threaded(experiment: Experiment, settings: dict[str, Any], seed: int) -> ExperimentResult:
    """Run on one thread: small games are slower on several, and sums depend on their number."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return experiment.run(settings, seed)
    finally:
        torch.set_num_threads(threads)


def _check_json(check: Check) -> dict[str, Any]:
    return {**asdict(check), "holds": check.holds}


def _render_png(experiment: Experiment, result: ExperimentResult) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = experiment.plot(result)
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _dump(content: dict[str, Any]) -> str:
    import json

    return json.dumps(_to_json(content), indent=1, ensure_ascii=False, allow_nan=False, default=str) + "\n"


def _to_json(value: Any) -> Any:
    """Convert to JSON values: non-finite numbers to words, arrays to lists."""
    if isinstance(value, dict):
        return {str(key): _to_json(each) for key, each in value.items()}
    if hasattr(value, "tolist"):
        return _to_json(value.tolist())
    if isinstance(value, list | tuple):
        return [_to_json(each) for each in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
