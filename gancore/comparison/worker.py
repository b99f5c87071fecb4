"""One process of a comparison: ``python -m gancore.comparison.worker JOB``, where JOB is JSON.

It opens the data, or takes one entrant through some stages, and ends with the exit codes of the command
line; what went wrong is the last line that it says.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gancore.comparison.asked import Asked, read_asked
from gancore.comparison.entrants import arguments, entrants, selecting
from gancore.comparison.folder import ComparisonFolder, Entrant, Stage, read_json, write_json
from gancore.errors import CheckpointError, DataError, printable
from gancore.files import LARGEST_LISTING_BYTES


@dataclass(frozen=True)
class Job:
    """``entrant`` -1: open the data, and say what they are. ``parent``: without it this process ends."""

    folder: str
    entrant: int = -1
    stages: Sequence[Stage] = ()
    timed: bool = True
    data_root: str | None = None
    parent: int = 0

    def encode(self) -> str:
        return json.dumps(vars(self))


def work(job: Job) -> None:
    """Raises GancoreError as everything does that can be mended."""
    folder = ComparisonFolder(Path(job.folder))
    asked = read_asked(folder.asked)
    everyone = entrants(asked)
    root = None if job.data_root is None else Path(job.data_root)
    if job.entrant < 0:
        from gancore.comparison.opening import open_data

        return open_data(folder, asked, everyone, root)
    bench = Bench(folder, asked, everyone[job.entrant], root, job.timed)
    for stage in job.stages:
        if not folder.is_finished(bench.entrant, stage):
            _STAGES[stage](bench)


@dataclass(frozen=True)
class Bench:
    """What a stage works with."""

    folder: ComparisonFolder
    asked: Asked
    entrant: Entrant
    data_root: Path | None
    timed: bool

    @property
    def about(self) -> Mapping[str, Any]:
        return read_json(self.folder.about)

    @property
    def weights(self) -> str:
        found = self.folder.weights(self.entrant)
        if not found:
            raise CheckpointError(f"{self.entrant} has no finished model", "train it first")
        return found


def _train(bench: Bench) -> None:
    from gancore import api

    run = bench.folder.run(bench.entrant)
    select = selecting(bench.asked, bench.about.get("select", ""))
    told = arguments(bench.asked, bench.entrant.name, bench.entrant.seed, select)
    _note_machine(bench)
    result = api.train(**told, data_root=bench.data_root, out=run.path, resume="auto", progress="plain")
    if result.status != "done":
        raise KeyboardInterrupt
    seen = read_json(run.data_file, LARGEST_LISTING_BYTES).get("fingerprint")
    if seen != bench.about["data"]["fingerprint"]:
        raise DataError("the data changed since this comparison began", "begin a new one")


def _note_machine(bench: Bench) -> None:
    """Of a training that goes on elsewhere, all that it was made on."""
    from gancore.comparison.opening import machine

    file, here = bench.folder.training(bench.entrant), machine(bench.asked.device)
    before = [name for name in read_json(file).get("machine", "").split("; ") if name]
    if here not in before:
        write_json(file, {"machine": "; ".join([*before, here])})


def _evaluate(bench: Bench) -> None:
    from gancore import api

    asked = bench.asked
    evaluation = api.evaluate(
        bench.folder.run(bench.entrant).path,
        measures=asked.measures,
        features=asked.features,
        n=asked.n,
        seed=asked.evaluation_seed,
        device=asked.device,
        data_root=bench.data_root,
        announce=_say,
    )
    replace(evaluation, model=str(bench.entrant)).write(bench.folder.evaluation(bench.entrant))


def _show(bench: Bench) -> None:
    from gancore import api
    from gancore.comparison.showing import write_beside

    model = api.load(bench.folder.run(bench.entrant).path, bench.asked.device)
    samples = model.sample(int(bench.about["shown"]), bench.asked.evaluation_seed)
    write_beside(
        bench.folder.samples(bench.entrant), model.domain, samples, bench.asked.evaluation_seed, bench.weights
    )


def _time(bench: Bench) -> None:
    from gancore.comparison.opening import machine, subject_of
    from gancore.comparison.tradeoffs import measure

    weights = bench.weights
    told = measure(subject_of(bench.folder, bench.asked, bench.entrant, bench.data_root), bench.timed)
    write_json(
        bench.folder.tradeoffs(bench.entrant),
        {**told, "weights": weights, "machine": machine(bench.asked.device)},
    )


_STAGES: dict[Stage, Callable[[Bench], None]] = {
    "train": _train,
    "evaluate": _evaluate,
    "show": _show,
    "time": _time,
}


def _say(line: str) -> None:
    print(printable(line), file=sys.stderr, flush=True)


def main(word: str) -> int:
    """The exit code, as of a command."""
    from gancore.cli import explain
    from gancore.runtime.processes import watch_parent
    from gancore.runtime.signals import handled, interrupt

    job = Job(**json.loads(word))
    if job.parent:
        watch_parent(job.parent)
    try:
        with handled(interrupt):
            work(job)
    except KeyboardInterrupt:
        return 130
    except BaseException as error:  # a plugin's SystemExit would be taken for a training that is done
        if os.environ.get("GANCORE_TRACEBACK", "0") not in ("", "0"):
            sys.excepthook(type(error), error, error.__traceback__)
        return explain(error)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
