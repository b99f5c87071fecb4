"""Measures the error rates of each finding of the diagnosis on a grid of small games with known faults.

    python benchmarks/diagnosis_rates.py [--seeds 5000] [--family NAME] [--jobs 2] [--check]

Every game is trained by the training loop and checked by the monitor of runs (gancore/training/monitor.py).
Its faults are known by construction, or measured by diagnosis_oracle.py on thousands of rows that the
diagnosis does not get. Thresholds were set on seeds below 5000; results are reported for seeds from 5000 on.
With --check the exit code is 1 if fewer than 90 % of a fault are found, or if more than 5 % of the games
without a fault raise its alarm.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diagnosis_games import NAMES, Case
from diagnosis_grid import cases
from diagnosis_oracle import Oracle
from scipy.stats import beta

from gancore.config import LoggingConfig, RunConfig
from gancore.data.dataset import Spec, TensorView
from gancore.domain import Domain
from gancore.random import Key
from gancore.training.loop import play
from gancore.training.monitor import Intervals, Monitor
from gancore.training.setup import set_up
from gancore.training.state import TrainState
from gancore.training.validation import Validator

HELD_OUT = 512


@dataclass(frozen=True)
class GameResult:
    """The faults of a game, and the step of the first finding of each name."""

    family: str
    name: str
    seed: int
    truth: dict[str, bool | None]
    said: dict[str, int]
    seconds: float

    @property
    def healthy(self) -> bool:
        return all(self.truth.get(name) is False for name in NAMES)


def diagnose_game(family: str, case: Case) -> GameResult:
    """Train one game with the diagnosis and the oracle."""
    began = time.perf_counter()
    generator = torch.Generator().manual_seed(case.seed)
    rows = case.corrupt(case.points.draw(case.rows, generator))
    valid = TensorView(case.points.draw(HELD_OUT, generator))
    torch.manual_seed(case.seed)
    table = set_up(case.build(), rows, batch_size=case.batch, seed=case.seed)
    settings = RunConfig(
        domain="", recipe="", data=None, model=None, logging=LoggingConfig(every=case.log_every)
    )
    key = Key.of("valid", case.seed)
    validator = Validator(Domain(), Spec({}), valid, settings.evaluate_samples, key)
    cadence = Intervals.of(settings, case.steps)
    watch = Monitor(table, Domain(), Spec({}), validator, cadence, settings.previews, case.seed)
    oracle = Oracle(case, table, case.steps)
    said: dict[str, int] = {}

    def both(state: TrainState) -> None:
        oracle(state)
        for finding in watch(state):
            said.setdefault(
                "non-finite" if finding.name.startswith("non-finite") else finding.name, state.step
            )

    play(table, case.steps, both)
    return GameResult(family, case.name, case.seed, oracle.truth(), said, time.perf_counter() - began)


def interval(hits: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a share (Clopper and Pearson, 1934)."""
    low = beta.ppf(0.025, hits, of - hits + 1) if hits else 0.0
    high = beta.ppf(0.975, hits + 1, of - hits) if hits < of else 1.0
    return float(low), float(high)


def share(hits: int, of: int) -> str:
    if not of:
        return "none"
    low, high = interval(hits, of)
    return f"{hits} of {of}, {hits / of:.1%} ({low:.1%} to {high:.1%})"


def report(outcomes: Sequence[GameResult]) -> None:
    healthy = [o for o in outcomes if o.healthy]
    print(
        f"\n{len(outcomes)} games, {len(healthy)} of them healthy, {sum(o.seconds for o in outcomes):.0f} s\n"
    )
    print("| verdict | found where it is | alarms in healthy games | alarms in games with another fault |")
    print("|---|---|---|---|")
    for name in NAMES:
        have = [o for o in outcomes if o.truth.get(name)]
        other = [o for o in outcomes if o.truth.get(name) is False and not o.healthy]
        found, false, elsewhere = (sum(name in o.said for o in group) for group in (have, healthy, other))
        cells = [share(found, len(have)), share(false, len(healthy)), share(elsewhere, len(other))]
        print(f"| {name} | {' | '.join(cells)} |")
    any_alarm = sum(bool(set(o.said) & set(NAMES)) for o in healthy)
    print(f"\nhealthy games with any of these alarms: {share(any_alarm, len(healthy))}")
    wins = [o for o in outcomes if "discriminator wins" in o.said]
    print(
        f"'discriminator wins' was found in {len(wins)} games, {sum(o.healthy for o in wins)} of them healthy"
    )
    for name in NAMES:
        unclear = [
            name in o.said for o in outcomes if "non-finite" not in o.said and o.truth.get(name) is None
        ]
        print(f"undecided, not counted: {name} {len(unclear)}, an alarm in {sum(unclear)} of them")


def meets_targets(outcomes: Sequence[GameResult]) -> bool:
    for name in NAMES:
        have = [name in o.said for o in outcomes if o.truth.get(name)]
        healthy = [name in o.said for o in outcomes if o.healthy]
        if sum(have) < 0.9 * len(have) or sum(healthy) > 0.05 * len(healthy):
            return False
    return True


def errors(outcomes: Sequence[GameResult]) -> None:
    for o in outcomes:
        for name in NAMES:
            if o.truth.get(name) and name not in o.said:
                print(f"missed: {name} in {o.family} {o.seed}, {o.name}")
            if o.truth.get(name) is False and name in o.said:
                print(f"false: {name} in {o.family} {o.seed}, {o.name}, step {o.said[name]}")


def _one(work: tuple[int, str, int]) -> GameResult:
    torch.set_num_threads(1)
    base, only, place = work
    return diagnose_game(*list(cases(base, only))[place])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5000, help="first seed of every family")
    parser.add_argument("--family", default="", help="families whose name contains this text")
    parser.add_argument("--jobs", type=int, default=1, help="number of games at the same time")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is not met")
    given = parser.parse_args()
    work = [
        (given.seeds, given.family, place) for place in range(len(list(cases(given.seeds, given.family))))
    ]
    outcomes = []
    with multiprocessing.get_context("spawn").Pool(given.jobs) as pool:
        for outcome in pool.imap(_one, work):
            outcomes.append(outcome)
            has = [name for name, holds in outcome.truth.items() if holds]
            result = ", ".join(f"{name} at {step}" for name, step in outcome.said.items()) or "nothing"
            head = f"{outcome.family} {outcome.seed}, {outcome.name}"
            print(
                f"{head}: has {', '.join(has) or 'nothing'}; said {result} ({outcome.seconds:.1f} s)",
                flush=True,
            )
    report(outcomes)
    errors(outcomes)
    if given.check and not meets_targets(outcomes):
        raise SystemExit("a target is not met: 90 % found, 5 % false alarms")


if __name__ == "__main__":
    main()
