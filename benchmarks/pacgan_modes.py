"""Trains PacGAN's networks on the ring of 8 and the grid of 25 with each dynamics; compares with the paper.

    python benchmarks/pacgan_modes.py --dynamics alternating,simultaneous --seeds 2 --jobs 2

Data, networks and learning rates are PacGAN's (Lin et al., 2018, section 4.1): recipe ``pacgan``, 100,000
points, batches of 100 packs, 40,000 steps; 2,500 samples of the final generator are evaluated. The published
rows are of simultaneous updates. R1 is gamma/2 E |grad D|^2 in every discriminator move.

Each run is a run folder under ``--out``, trained by ``gancore.train`` and resumed if it was stopped. Each
finished run is a line of ``results.jsonl`` and is not repeated. Settings of a dynamics follow a colon:
``consensus:gamma=1``. Smaller networks (``--recipe mlpgan:width=64``) take minutes for all dynamics; the
published rows are not of these. Milliseconds a step on one core of an EPYC, without R1: simultaneous 21,
alternating, extragradient-past and optimistic 24, extragradient 45, consensus 100, unrolled (5 updates) and
symplectic 240; with R1 about 8 to 70 more. 40,000 steps at 24 ms are 16 minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

EVALUATED = 2500
PUBLISHED = {
    # (modes, high quality in %, reverse KL); mean of 10 trials, from the reference rows of PacGAN's table 1
    "GAN (PacGAN's code)": {"ring": (6.3, 98.2, 0.45), "grid": (17.3, 94.8, 0.70)},
    "ALI": {"ring": (6.6, 97.6, 0.36), "grid": (24.1, 95.7, 0.14)},
    "PacGAN2": {"ring": (7.9, 95.6, 0.07), "grid": (23.8, 91.3, 0.13)},
    "PacGAN3": {"ring": (7.8, 97.7, 0.10), "grid": (24.6, 94.2, 0.06)},
    "PacGAN4": {"ring": (7.8, 95.9, 0.07), "grid": (24.8, 93.6, 0.04)},
}


@dataclass(frozen=True)
class Setting:
    """One training of the table."""

    data: str
    dynamics: str
    gamma: float
    pack: int
    steps: int
    seed: int
    recipe: str = "pacgan"

    @property
    def name(self) -> str:
        recipe, dynamics = (said.replace(":", "-").replace("=", "") for said in (self.recipe, self.dynamics))
        pack = f"-pack{self.pack}" if self.pack > 1 else ""
        nets = "" if recipe == "pacgan" else f"{recipe}-"
        return f"{nets}{self.data}-{dynamics}-gamma{self.gamma:g}{pack}-{self.steps}-seed{self.seed}"

    def overrides(self) -> list[str]:
        name, _, settings = self.dynamics.partition(":")
        result = [f"train.dynamics.settings.{each}" for each in settings.split(":") if each]
        return [
            f"train.dynamics.name={name}",
            *result,
            f"model.penalty_weight={self.gamma}",
            *self.nets(),
            f"validation.samples={EVALUATED}",
            "logging.preview_samples=256",
            "checkpoint.keep=1",
        ]

    def nets(self) -> list[str]:
        """Settings of the recipe: PacGAN's batch is proportional to its packs; others follow colons."""
        if self.recipe == "pacgan":
            return [f"model.pack={self.pack}", f"model.batch_size={100 * self.pack}"]
        return [f"model.{each}" for each in self.recipe.split(":")[1:]]


def settings(given: argparse.Namespace) -> list[Setting]:
    """All settings, seed by seed, so that the table is complete early."""
    lists = (range(given.seeds), given.data.split(","), given.gamma.split(","), given.pack.split(","))
    return [
        Setting(data, dynamics, float(gamma), int(pack), given.steps, seed, given.recipe)
        for seed, data, gamma, pack in itertools.product(*lists)
        for dynamics in given.dynamics.split(",")
    ]


def train_and_evaluate(setting: Setting, out: Path) -> None:
    """Train or resume one run, and add its line when it is finished."""
    import torch

    import gancore

    torch.set_num_threads(1)
    run = gancore.train(
        "synthetic",
        recipe=setting.recipe.partition(":")[0],
        data=setting.data,
        steps=setting.steps,
        seed=setting.seed,
        device="cpu",
        out=out / setting.name,
        resume="auto",
        overrides=setting.overrides(),
    )
    if run.status == "done":
        line = {**asdict(setting), **evaluate_samples(run.folder), "seconds": round(run.seconds, 1)}
        with (out / "results.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")


def evaluate_samples(folder: Path) -> dict[str, float]:
    """Metrics of 2,500 samples of the final generator."""
    from gancore_synthetic.metrics import METRICS

    import gancore

    samples = gancore.load(folder, "cpu").sample(EVALUATED, seed=1)
    names = ("modes", "high_quality", "reverse_kl", "density_error")
    inputs = gancore.MetricInputs.from_samples(samples.data, samples.data, samples.spec)
    return {name: METRICS[name].compute(inputs) for name in names}


def results(out: Path) -> list[dict[str, Any]]:
    file = out / "results.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    return [{"recipe": "pacgan", **json.loads(line)} for line in lines]


def play(waiting: Sequence[Setting], given: argparse.Namespace) -> None:
    """Run some settings at a time, each in a process of one thread; at the time limit they save and stop."""
    deadline = time.monotonic() + given.time_limit if given.time_limit else float("inf")
    queue, running = list(waiting), {}
    try:
        while queue or running:
            while queue and len(running) < given.jobs and time.monotonic() < deadline:
                setting = queue.pop(0)
                running[setting] = start_run(setting, given.out)
            if time.monotonic() >= deadline:
                print(
                    "time limit reached: unfinished runs are saved; run the command again to continue",
                    flush=True,
                )
                return
            time.sleep(0.5)
            running = dict(still_running(running, given.out))
    finally:
        for process in running.values():
            process.send_signal(signal.SIGTERM)
        for process in running.values():
            process.wait()


def start_run(setting: Setting, out: Path) -> subprocess.Popen[bytes]:
    print(f"started {setting.name}", flush=True)
    words = [sys.executable, __file__, "--one", json.dumps(asdict(setting)), "--out", str(out)]
    with (out / f"{setting.name}.log").open("ab") as log:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(words, stdout=log, stderr=log, env=environment)


def still_running(running: dict[Setting, Any], out: Path) -> Iterator[tuple[Setting, Any]]:
    for setting, process in running.items():
        if process.poll() is None:
            yield setting, process
        elif process.returncode:
            print(f"failed  {setting.name}: see {out / setting.name}.log", flush=True)
        else:
            print(f"done    {setting.name}", flush=True)


def table(lines: Sequence[dict[str, Any]]) -> str:
    """The mean and standard error over seeds, and the published means."""
    kinds = ("data", "gamma", "pack", "steps", "dynamics")
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for line in lines:
        groups.setdefault(tuple(line[kind] for kind in kinds), []).append(line)
    rows = [
        f"{'data':<5} {'gamma':<6} {'pack':<5} {'steps':<7} {'dynamics':<21} {'n':<3} {'modes':<15} "
        f"{'high quality %':<15} {'reverse KL':<16} minutes"
    ]
    for (data, gamma, pack, steps, dynamics), own in sorted(groups.items(), key=str):
        cells = [of(own, name) for name in ("modes", "high_quality", "reverse_kl")]
        minutes = statistics.fmean(line["seconds"] for line in own) / 60
        rows.append(
            f"{data:<5} {gamma:<6g} {pack:<5} {steps:<7} {dynamics:<21} {len(own):<3} {cells[0]:<15} "
            f"{cells[1]:<15} {cells[2]:<16} {minutes:.1f}"
        )
    for name, published in PUBLISHED.items():
        for data, (modes, quality, kl) in published.items():
            rows.append(f"{data:<5} {name + ', published':<45} {modes:<15} {quality:<15} {kl}")
    return "\n".join(rows)


def of(lines: Sequence[dict[str, Any]], name: str) -> str:
    values = [line[name] for line in lines]
    if len(values) == 1:
        return f"{values[0]:.3g}"
    return f"{statistics.fmean(values):.3g} +/- {statistics.stdev(values) / len(values) ** 0.5:.2g}"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--dynamics", default="alternating,simultaneous", help="names, with settings after colons"
    )
    parser.add_argument("--data", default="ring,grid")
    parser.add_argument("--gamma", default="0,0.1", help="weights of R1")
    parser.add_argument("--pack", default="1", help="samples in a pack")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument(
        "--recipe", default="pacgan", help="or smaller networks with settings: mlpgan:width=64:ema_halflife=0"
    )
    parser.add_argument("--steps", type=int, default=40_000)
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, one thread each")
    parser.add_argument(
        "--time-limit", type=float, default=0, help="seconds after which all runs are saved and stop; 0: none"
    )
    parser.add_argument("--out", type=Path, default=Path("build/pacgan_modes"))
    parser.add_argument("--table", action="store_true", help="print the table without training")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    given = arguments()
    given.out.mkdir(parents=True, exist_ok=True)
    if given.one:
        return train_and_evaluate(Setting(**json.loads(given.one)), given.out)
    finished = {Setting(**{k: line[k] for k in Setting.__dataclass_fields__}) for line in results(given.out)}
    waiting = [setting for setting in settings(given) if setting not in finished]
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # runs end with this process
    if not given.table:
        with contextlib.suppress(KeyboardInterrupt):
            play(waiting, given)
    print(table([line for line in results(given.out) if line["recipe"] == given.recipe]))


if __name__ == "__main__":
    main()
