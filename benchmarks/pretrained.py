"""Trains the models that the plugins ship, evaluates them, and writes their folders.

    python benchmarks/pretrained.py [--only text/captions-lm,audio/percussion] [--runs build/pretrained]
    python benchmarks/pretrained.py --check        whether every configuration starts: two steps each
    python benchmarks/pretrained.py --cards        cards of finished trainings again, without training
    python benchmarks/pretrained.py --table        the table of the shipped models, without training

Each model has a configuration, ``benchmarks/pretrained/DOMAIN-NAME.yaml`` with its budget in it, and an
entry in ``benchmarks/pretrained/index.yaml`` with its licence. A training runs on one thread in a process of
its own. The script may be stopped or killed at any time: what is finished is not repeated, and a training is
resumed. A configuration that has changed starts a new run, and the old one stays. An evaluation is repeated
if the metrics are others than it has.

A trained model is rounded to half precision, and these weights are evaluated. It is written into the package
of its plugin only if its main distance (``main`` of the index, by default that of the evaluation) is nearer
to that of real rows than to those of noise and of the collapse, unless the index says as ``exception`` what
is known and why it is shipped; the card shows this.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from gancore import CheckpointError, EvaluationResult, GancoreError, evaluate
from gancore.evaluation.catalogue import available_metrics, load_metrics
from gancore.evaluation.report import main_result
from gancore.files import atomic_write, read_json_object
from gancore.models.card import Publication
from gancore.models.model import load_model
from gancore.models.packaged import PUBLISHED, read_facts
from gancore.models.publish import DEFAULT_REASON, pack_model, publish_model
from gancore.run_folder import RunFolder
from gancore.text import format_duration

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "benchmarks" / "pretrained"
MAX_BYTES = 6_000_000
"""The largest size of the weights of a shipped model."""


class NotShippedError(Exception):
    """A model is not good or not small enough to ship; the message says why."""


@dataclass(frozen=True)
class ShippedModel:
    """An entry of the index.

    ``main``: the metric that decides, and ``why`` this one; ``n``: the number of evaluated samples.
    """

    name: str
    summary: str
    licence: str
    notice: Sequence[str] = ()
    limits: Sequence[str] = ()
    main: str | None = None
    why: str = DEFAULT_REASON
    n: int | None = None
    exception: str = ""
    configuration: Path = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "configuration", FOLDER / f"{self.name.replace('/', '-')}.yaml")

    @property
    def folder(self) -> Path:
        """Where its plugin ships it."""
        domain, _, name = self.name.partition("/")
        return ROOT / "plugins" / domain / f"gancore_{domain}" / "models" / name

    def run(self, runs: Path) -> Path:
        """The run of the present configuration."""
        digest = hashlib.sha256(self.configuration.read_bytes()).hexdigest()[:8]
        return runs / f"{self.configuration.stem}-{digest}"

    @property
    def commands(self) -> list[str]:
        """How to make it again, and its figures."""
        path = self.configuration.relative_to(ROOT)
        count = "" if self.n is None else f" -n {self.n}"
        return [
            f"gancore train --config {path} --out runs/{self.configuration.stem}",
            f"python benchmarks/pretrained.py --only {self.name}",
            f"gancore evaluate {self.name}{count}",
        ]


def read_index() -> dict[str, ShippedModel]:
    content = yaml.safe_load((FOLDER / "index.yaml").read_text(encoding="utf-8"))
    return {name: ShippedModel(name, **values) for name, values in content.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="", help="ids, separated by commas")
    parser.add_argument("--runs", type=Path, default=ROOT / "build" / "pretrained", help="folder of the runs")
    parser.add_argument("--check", action="store_true", help="train each for two steps only")
    parser.add_argument("--cards", action="store_true", help="train nothing; write finished trainings again")
    parser.add_argument("--table", action="store_true", help="print the table of the shipped models only")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    index = read_index()
    names = [name.strip() for name in options.only.split(",") if name.strip()] or list(index)
    if unknown := [name for name in names if name not in index]:
        parser.error(f"{unknown[0]} is not in benchmarks/pretrained/index.yaml; it has {', '.join(index)}")
    chosen = [index[name] for name in names]
    if options.check:
        return check(chosen)
    failed = [] if options.table else make(chosen, options.runs.absolute(), trains=not options.cards)
    print_table(chosen)
    for line in failed:
        print(line, file=sys.stderr)
    return 1 if failed else 0


def check(models: Sequence[ShippedModel]) -> int:
    """Train each model for two steps; 1 if one does not start."""
    failed = 0
    for model in models:
        with tempfile.TemporaryDirectory() as place:
            words = ["--config", str(model.configuration), "--steps", "2", "--quiet", "--out", f"{place}/run"]
            words += ["--set", "logging.preview_every=1000", "--set", "validation.every=1000"]
            seconds, code = train(words)
            weights = Path(place) / "run" / "model" / "model.safetensors"
            size = weights.stat().st_size if code == 0 else 0
        failed += code != 0
        state = f"starts, {size / 2e6:.2f} MB in half precision" if code == 0 else f"exit code {code}"
        print(f"{model.name:30} {state}, {seconds:.0f} s", flush=True)
    return 1 if failed else 0


def make(models: Sequence[ShippedModel], runs: Path, trains: bool = True) -> list[str]:
    """Train unless it is finished, evaluate and write each model; a line for each that is not shipped."""
    runs.mkdir(parents=True, exist_ok=True)
    failed = []
    for model in models:
        try:
            cost = train_to_end(model, model.run(runs), trains)
            ship(model, model.run(runs), cost)
        except (NotShippedError, GancoreError) as error:
            failed.append(f"{model.name} is not shipped: {error}")
            print(failed[-1], file=sys.stderr, flush=True)
    return failed


def train_to_end(model: ShippedModel, run: Path, trains: bool = True) -> Mapping[str, Any]:
    """Train, or continue; returns ``processor_seconds`` and ``commit`` of all sessions.

    ``trains`` False: raise NotShippedError if the training is not finished.
    """
    file = run.with_name(f"{run.name}.json")
    cost = read_json_object(file) if file.is_file() else {"processor_seconds": 0.0, "commit": commit()}
    status = RunFolder(run).read_status()
    if status is not None and status.status == "done":
        return cost
    if not trains:
        raise NotShippedError(f"there is no finished training in {run}; leave out --cards to train it")
    started = status is not None
    words = ["--resume", str(run)] if started else ["--config", str(model.configuration), "--out", str(run)]
    print(f"{model.name}: {'continues' if started else 'starts'} in {run}", flush=True)
    atomic_write(file, json.dumps(cost))
    before = children_seconds()
    try:
        _, code = train(words)
    finally:
        cost["processor_seconds"] = float(cost["processor_seconds"]) + children_seconds() - before
        atomic_write(file, json.dumps(cost))
    if code:
        raise NotShippedError(f"its training ended with exit code {code}; start the script again to continue")
    return cost


def train(words: Sequence[str]) -> tuple[float, int]:
    """One session of ``gancore train`` on one thread; processor seconds and exit code."""
    before = children_seconds()
    threads = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    command = [sys.executable, "-m", "gancore", "train", *words]
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, **threads}) as process:
        try:
            code = process.wait()
        except BaseException:  # stopped: the training saves a checkpoint
            process.send_signal(signal.SIGTERM)
            process.wait()
            raise
    return children_seconds() - before, code


def children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


CODE = ("gancore", "plugins", "benchmarks", ":!plugins/*/gancore_*/models")
"""What a training depends on, as paths of git: not the models that this script writes."""


def commit() -> str:
    """The commit of the working tree, with ``-dirty`` if its code differs; empty outside a repository."""
    found, differs = (
        subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)
        for words in (["rev-parse", "HEAD"], ["diff", "--quiet", "HEAD", "--", *CODE])
    )
    name = found.stdout.strip() if found.returncode == 0 else ""
    return f"{name}-dirty" if name and differs.returncode else name


def ship(model: ShippedModel, run: Path, cost: Mapping[str, Any]) -> None:
    """Round, evaluate, judge, and write into the package of the plugin."""
    packed = run.with_name(f"{run.name}-packed")
    pack_model(run / "model", packed)
    size = (packed / "model.safetensors").stat().st_size
    if size > MAX_BYTES:
        raise NotShippedError(f"its weights have {size:,} bytes, more than {MAX_BYTES:,}")
    evaluation = evaluate_packed(model, packed, run.with_name(f"{run.name}.jsonl"))
    judge(model, evaluation)
    publication = Publication(
        model.name,
        summary=model.summary,
        notice=model.notice,
        reproduce=model.commands,
        configuration=model.configuration.read_text(encoding="utf-8"),
        commit=str(cost["commit"]),
        processor_seconds=float(cost["processor_seconds"]),
        limits=model.limits,
        exception=model.exception,
    )
    model.folder.parent.mkdir(exist_ok=True)
    publish_model(run, packed, model.folder, evaluation, publication, model.licence, model.main, model.why)
    print(f"{model.name}: written to {model.folder.relative_to(ROOT)}", flush=True)


def evaluate_packed(model: ShippedModel, packed: Path, file: Path) -> EvaluationResult:
    """The evaluation of these weights by the present metrics, which is computed once."""
    digest = read_json_object(packed / "config.json")["files"]["model.safetensors"]
    try:
        stored = EvaluationResult.read(file)
        same = stored.metadata.get("model_hash") == digest and model.n in (None, stored.metadata.get("n"))
        metrics = current_metrics(packed)
        # Files of older versions do not say which metrics the model scores itself.
        if same and [result.metric for result in stored] == list(metrics):
            marked = [replace(result, own_scored=metrics[result.metric]) for result in stored]
            return replace(stored, results=marked)
    except CheckpointError:
        pass
    made = evaluate(packed, n=model.n, announce=lambda line: print(f"  {line}", flush=True))
    made = replace(made, model=model.name)
    made.write(file)
    return made


def current_metrics(packed: Path) -> dict[str, bool]:
    """The default metrics of this model in order, and whether the model scores their controls itself."""
    model = load_model(packed, "cpu")
    entries = available_metrics(model.domain, model.spec, lambda line: None)
    metrics = load_metrics(entries, None, lambda line: None)
    return {name: metric.is_scored_by_model for name, metric in metrics.items()}


def judge(model: ShippedModel, evaluation: EvaluationResult) -> None:
    """Raise NotShippedError if the model is not nearer to real rows than to the negative controls."""
    if model.exception:
        return
    result = main_result(evaluation, model.main)
    nearer = None if result is None else result.nearer_controls
    if result is None or nearer is None:
        name = model.main or "the main distance"
        raise NotShippedError(f"{name} was not computed with controls; name a metric as main in the index")
    if nearer:
        values = ", ".join(f"{name} {result.anchors[name]:.4g}" for name in ("real", *nearer))
        raise NotShippedError(
            f"{result.metric} {result.matched or result.value:.4g} is as near to {' and '.join(nearer)} as to"
            f" real rows ({values}); train it longer, or say as exception in the index what is known"
        )


def print_table(models: Sequence[ShippedModel]) -> None:
    """The shipped models, as Markdown."""
    print("\n| model | recipe | data | steps | processor time | main distance | weights | licence |")
    print("|---|---|---|---|---|---|---|---|")
    for model in models:
        try:
            facts, content = read_facts(model.folder), read_json_object(model.folder / "config.json")
        except (OSError, CheckpointError):
            print(f"| `{model.name}` | not shipped | | | | | | |")
            continue
        seconds = content[PUBLISHED].get("processor_seconds")
        cost = "" if seconds is None else format_duration(seconds)
        size = (model.folder / "model.safetensors").stat().st_size / 1e6
        step = content["training"]["step"]
        print(
            f"| `{model.name}` | `{facts.recipe}` | {facts.data} | {step:,} | {cost} | {facts.figure}"
            f" | {size:.2f} MB | {facts.licence} |"
        )


if __name__ == "__main__":
    sys.exit(main())
