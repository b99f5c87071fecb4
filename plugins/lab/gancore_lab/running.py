"""From an experiment's name to its verdict, its picture and its JSON."""

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
from gancore.config_text import short
from gancore.errors import nearest
from gancore.files import atomic_write
from gancore.plugins import plugins
from gancore_lab.experiment import Check, Experiment, Outcome
from gancore_lab.settings import changed

ALL = "all"


@dataclass(frozen=True)
class Report:
    """A finished experiment: what goes into its JSON, and where its files are."""

    name: str
    reproduced: bool
    figure: str
    folder: Path
    content: dict[str, Any]


def entries() -> dict[str, ExperimentEntry]:
    """Every registered experiment by name, in the order of their plugins."""
    found = plugins().records("gancore_experiments")
    return {entry.name: entry for entry in found if isinstance(entry, ExperimentEntry)}


def load(entry: ExperimentEntry) -> Experiment:
    """Raises PluginError: it cannot be imported, or is no Experiment."""
    found = plugins().resolve(entry)
    if not isinstance(found, Experiment):
        raise PluginError(
            f"the experiment {entry.name!r} is {entry.factory!r}, a {type(found).__name__}",
            "let the record name an instance of gancore_lab.Experiment",
        )
    return found


def chosen(names: Iterable[str]) -> list[ExperimentEntry]:
    """The experiments of these names, each once; ``all`` stands for every one.

    Raises:
        ConfigError: no experiment has this name.
    """
    known = entries()
    wanted: dict[str, ExperimentEntry] = {}
    for name in names:
        if name != ALL and name not in known:
            raise ConfigError(f"no experiment is named {name!r}", nearest(name, [*known, ALL]))
        wanted |= known if name == ALL else {name: known[name]}
    return list(wanted.values())


def run(
    name: str,
    experiment: Experiment,
    out: Path,
    *,
    quick: bool = False,
    seed: int = 0,
    changes: Sequence[str] = (),
) -> Report:
    """Measure, judge, and write ``out/name/result.json`` and then ``picture.png``.

    ``changes``: ``"key=value"`` of the setup.

    Raises:
        ConfigError: the setup has no such key, or cannot be played or drawn with such a value.
    """
    setup = changed(name, experiment.settings(quick), changes)
    began, worked = time.perf_counter(), time.process_time()
    with _blaming(name, changes, "cannot be played"):
        outcome = _on_one_core(experiment, setup, seed)
    seconds = {"seconds": time.perf_counter() - began, "core_seconds": time.process_time() - worked}
    verdict = {"reproduced": outcome.reproduced, "figure": figure(outcome)}
    content = {
        "name": name,
        "question": experiment.question,
        "setup": {**setup, **outcome.setup},
        "prediction": experiment.prediction,
        "source": experiment.source,
        "measurement": [_told(check) for check in outcome.checks],
        "remarks": list(outcome.remarks),
        "found": outcome.found,
        "verdict": verdict,
        "seed": seed,
        "quick": quick,
        "changed": list(changes),
        "versions": versions(),
        **{name: round(value, 2) for name, value in seconds.items()},
        "picture": "picture.png",
    }
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "picture.png").unlink(missing_ok=True)  # of an earlier result
    atomic_write(folder / "result.json", _json(content))
    with _blaming(name, changes, f"is measured ({folder / 'result.json'}), but cannot be drawn"):
        picture = _png(experiment, outcome)
    atomic_write(folder / "picture.png", picture)
    return Report(name, outcome.reproduced, str(verdict["figure"]), folder, content)


@contextmanager
def _blaming(name: str, changes: Sequence[str], failed: str) -> Iterator[None]:
    """What fails where the setup was changed is a mistake in the changes."""
    try:
        yield
    except GancoreError:
        raise
    except Exception as error:
        if not changes:
            raise
        told = f"{type(error).__name__}: {error}"
        raise ConfigError(
            f"{name} {failed} with --set {' --set '.join(changes)} ({short(told)})",
            f"give values nearer to those of `gancore lab {name} --settings`",
        ) from error


def figure(outcome: Outcome) -> str:
    """The verdict in numbers: how many predictions came true, and how far off the furthest was."""
    judged = outcome.judged
    if not judged:
        return "nothing was predicted"
    held = sum(bool(check.holds) for check in judged)
    text = f"{held} of {len(judged)} predictions held"
    missed = [check for check in judged if not check.holds]
    if missed:
        return f"{text}; missed: {'; '.join(map(described, missed))}"
    equal = [check for check in judged if check.difference is not None and check.tolerance > 0]
    if equal:
        worst = max(equal, key=lambda check: (check.difference or 0.0) / check.tolerance)
        text += f"; furthest off: {worst.name} by {worst.difference:.1e} of {worst.tolerance:.1e} allowed"
    return text


def described(check: Check) -> str:
    """``rate: GAN + R1 1, simultaneous: 0.90001 (predicted 0.9)``"""
    relation = "" if check.relation == "=" else f"{check.relation} "
    return f"{check.name}: {check.measured:.6g} (predicted {relation}{check.predicted:.6g})"


def versions() -> dict[str, str]:
    names = ("gancore", "gancore-lab", "torch", "numpy", "matplotlib")
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in names}}


def _on_one_core(experiment: Experiment, setup: dict[str, Any], seed: int) -> Outcome:
    """Small games lose time on more than one thread, and sums then depend on how many there are."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return experiment.measure(setup, seed)
    finally:
        torch.set_num_threads(threads)


def _told(check: Check) -> dict[str, Any]:
    return {**asdict(check), "holds": check.holds}


def _png(experiment: Experiment, outcome: Outcome) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    drawn = experiment.draw(outcome)
    FigureCanvasAgg(drawn)
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png")
    return buffer.getvalue()


def _json(content: dict[str, Any]) -> str:
    import json

    return json.dumps(_plain(content), indent=1, ensure_ascii=False, allow_nan=False, default=str) + "\n"


def _plain(value: Any) -> Any:
    """As JSON has it: what is not finite becomes a word, arrays become lists."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
