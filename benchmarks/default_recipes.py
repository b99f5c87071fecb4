"""Compares the recipes of a domain with default settings for budgets of a few minutes.

    python benchmarks/default_recipes.py train --domain audio [--data percussion,fsdd] [--minutes 2,20]
        [--seeds 0,1] [--recipes A,B] [--out benchmarks/default_recipes] [--runs build/default_recipes]
    python benchmarks/default_recipes.py table [--out benchmarks/default_recipes]

``train`` runs the missing trials, shortest first, and may be stopped at any time: a training is resumed, and
finished trials are not repeated. Two domains may run at the same time in one folder. ``--out`` gets a file
for each cost and each trial, with a description of the machine; ``--runs`` gets the run folders. ``table``
prints Markdown.

A budget is in minutes of processor time on one thread, so that it does not depend on other work on the
machine. The cost of a step is the difference between a longer and a shorter training, each in a process of
its own; it determines the number of steps for this machine. Evaluation is not part of the budget. Every model
is the last one of its training, with the defaults of the recipe. Values are those of its samples compared
with the test split, with the default feature extractor of the domain.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gancore.runtime.device import processor_name, vector_instructions

DATA = {"audio": ("percussion", "fsdd"), "image": ("fashion_mnist", "clothing64")}
RECIPES = {
    "audio": (
        "wavegan-lite",
        "specgan",
        "ifgan",
        "wavegan",
        "wavenet",
        "audiovae",
        "audioflow",
        "audioflowgan",
    ),
    "image": ("dcgan-lite", "dcgan", "sngan", "r3", "pixelcnn", "glow", "imagevae", "imageflowgan"),
}
MEASURES = ("frechet", "coverage")
SAMPLES = 1000
FEW, CYCLE = 2, 16
"""Steps of the shorter training, and additional steps of the longer one: a cycle of lazy penalties."""
ENOUGH_SECONDS = 6.0
"""The longer training gets more steps until it takes this much longer than the shorter one."""
SLOW_SECONDS = 60.0
"""If the shorter training takes this long, the longer one has a single additional step."""
NEVER = 10**9
QUIET = [f"{name}={NEVER}" for name in ("validation.every", "logging.preview_every")]


@dataclass(frozen=True)
class Trial:
    """One training: a recipe on data with a budget in minutes and a seed."""

    domain: str
    data: str
    recipe: str
    minutes: float
    seed: int

    @property
    def name(self) -> str:
        return f"{self.data}-{self.recipe}-{self.minutes:g}m-{self.seed}"


def gancore(*arguments: str) -> float:
    """Run the command on one thread; return its processor time in seconds."""
    before = _child_cpu_seconds()
    command = [sys.executable, "-m", "gancore", *arguments]
    made = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL)
    if made.returncode == 130:
        raise KeyboardInterrupt
    if made.returncode:
        raise RuntimeError(f"exit code {made.returncode}: gancore {' '.join(arguments)}")
    return _child_cpu_seconds() - before


def _child_cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def train(trial: Trial, folder: Path, steps: int, *settings: str, resume: bool = False) -> float:
    where = ["--resume", str(folder)] if resume else ["--out", str(folder)]
    given = [part for setting in settings for part in ("--set", setting)]
    what = ["--domain", trial.domain, "--data", trial.data, "--recipe", trial.recipe]
    return gancore(
        "train",
        *what,
        *where,
        "--seed",
        str(trial.seed),
        "--steps",
        str(steps),
        "--device",
        "cpu",
        "--quiet",
        *given,
    )


def seconds_per_step(trial: Trial, out: Path) -> float:
    """Processor seconds, which are stored in a file.

    The first training prepares the data and is not timed.
    """
    file = out / "costs" / f"{trial.data}-{trial.recipe}.json"
    if file.exists():
        return float(json.loads(file.read_text())["seconds_per_step"])
    with tempfile.TemporaryDirectory() as scratch:
        _, few = (train(trial, Path(scratch) / f"few-{number}", FEW, *QUIET) for number in range(2))
        more = 1 if few > SLOW_SECONDS else CYCLE
        while (many := train(trial, Path(scratch) / f"{more}", FEW + more, *QUIET)) - few < ENOUGH_SECONDS:
            more *= 4
    cost = (many - few) / more
    machine = f"{processor_name()}, {vector_instructions()}"
    _write(
        file,
        {"seconds_per_step": cost, "steps": [FEW, FEW + more], "seconds": [few, many]} | {"machine": machine},
    )
    return cost


def _write(file: Path, content: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_suffix(".part")
    aside.write_text(json.dumps(content, indent=1))
    aside.replace(file)


def run_trial(trial: Trial, out: Path, runs: Path) -> None:
    """Train, evaluate and record one trial, unless it is finished."""
    file, folder = out / "results" / f"{trial.name}.json", runs / trial.name
    if file.exists():
        return
    cost = seconds_per_step(trial, out)
    steps = max(1, int(60 * trial.minutes / cost))
    print(f"{time.strftime('%H:%M')} {trial.name}: {steps} steps of {cost:.3f} s", flush=True)
    began = time.monotonic()
    used = train(trial, folder, steps, resume=(folder / "config.yaml").exists())
    readings = measure(folder)
    _write(
        file,
        {**asdict(trial), "steps": steps, "seconds_per_step": cost, "processor_seconds": used}
        | {"wall_seconds": time.monotonic() - began, "date": time.strftime("%Y-%m-%d")}
        | {"environment": json.loads((folder / "run.json").read_text())["environment"], "measures": readings},
    )


def measure(folder: Path) -> dict[str, Any]:
    """The value, interval and controls of each metric."""
    lines = folder / "measures-of-default-recipes.jsonl"
    gancore(
        "evaluate",
        str(folder),
        "--metrics",
        ",".join(MEASURES),
        "-n",
        str(SAMPLES),
        "--out",
        str(lines),
        "--quiet",
    )
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    kept = ("value", "low", "high", "anchors", "features", "n", "n_real")
    return {row["measure"]: {key: row[key] for key in kept} for row in rows if "measure" in row}


# The table --------------------------------------------------------------------------------------


def results(out: Path) -> Iterator[dict[str, Any]]:
    for file in sorted((out / "results").glob("*.json")):
        yield json.loads(file.read_text())


def table(out: Path) -> str:
    """Markdown with a row for each recipe and a column for each data set and budget; best means are bold."""
    found: dict[tuple[str, str, float, str], list[dict[str, Any]]] = {}
    for result in results(out):
        found.setdefault((result["domain"], result["data"], result["minutes"], result["recipe"]), []).append(
            result
        )
    lines: list[str] = []
    for domain in sorted({key[0] for key in found}):
        columns = sorted({(key[1], key[2]) for key in found if key[0] == domain})
        heads = [f"{data}, {minutes:g} min" for data, minutes in columns]
        lines += ["", f"| {domain} | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
        for recipe in RECIPES[domain]:
            cells = [_cell(found, domain, data, minutes, recipe) for data, minutes in columns]
            lines.append(f"| `{recipe}` | " + " | ".join(cells) + " |")
        lines.append("| *held-out rows* | " + " | ".join(_real(found, domain, *c) for c in columns) + " |")
    return "\n".join(lines)


def _cell(found: dict[Any, list[dict[str, Any]]], domain: str, data: str, minutes: float, recipe: str) -> str:
    trials = found.get((domain, data, minutes, recipe), [])
    if not trials:
        return "-"
    means = {
        key[3]: statistics.fmean(_values(found[key], "frechet"))
        for key in found
        if key[:3] == (domain, data, minutes)
    }
    finite = [mean for mean in means.values() if math.isfinite(mean)]
    distance = " / ".join(f"{value:.3g}" for value in _values(trials, "frechet"))
    coverage = " / ".join(f"{value:.2f}" for value in _values(trials, "coverage"))
    best = finite and means[recipe] == min(finite)
    return (f"**{distance}**" if best else distance) + f" ({coverage})"


def _values(trials: list[dict[str, Any]], measure: str) -> list[float]:
    values = [
        trial["measures"][measure]["value"] for trial in sorted(trials, key=lambda trial: trial["seed"])
    ]
    return [value if isinstance(value, int | float) else math.inf for value in values]


def _real(found: dict[Any, list[dict[str, Any]]], domain: str, data: str, minutes: float) -> str:
    trials = [
        trial for key, trials in found.items() if key[:3] == (domain, data, minutes) for trial in trials
    ]
    anchors = [trial["measures"]["frechet"]["anchors"].get("real") for trial in trials]
    return f"{statistics.fmean(a for a in anchors if isinstance(a, int | float)):.3g}"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("train", "table"))
    parser.add_argument("--domain", choices=tuple(DATA), default="audio")
    parser.add_argument("--data", help="names, by commas")
    parser.add_argument("--recipes", help="names, by commas")
    parser.add_argument("--minutes", default="2,20")
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/default_recipes"))
    parser.add_argument("--runs", type=Path, default=Path("build/default_recipes"))
    return parser.parse_args()


def trials(given: argparse.Namespace) -> Iterator[Trial]:
    data = given.data.split(",") if given.data else DATA[given.domain]
    recipes = given.recipes.split(",") if given.recipes else RECIPES[given.domain]
    for minutes in sorted(map(float, given.minutes.split(","))):
        for seed in map(int, given.seeds.split(",")):
            for name in data:
                for recipe in recipes:
                    yield Trial(given.domain, name, recipe, minutes, seed)


def main() -> None:
    given = arguments()
    if given.what == "table":
        print(table(given.out))
        return
    for trial in trials(given):
        try:
            run_trial(trial, given.out, given.runs)
        except RuntimeError as error:
            print(f"{trial.name}: {error}", flush=True)


if __name__ == "__main__":
    main()
