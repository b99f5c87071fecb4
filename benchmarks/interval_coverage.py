"""Measures how often the 95 % interval of each metric contains the true value, and how often it is trusted.

    python benchmarks/interval_coverage.py coverage.jsonl --pairs 40 --measures frechet kid
    python benchmarks/interval_coverage.py coverage.jsonl --report

Pairs of sets are drawn from seven distributions at four pairs of sizes. The true value of a metric is its
expectation at these sizes, estimated by its mean over the other pairs, whose error adds a share of 1/pairs to
the variance that the interval must cover. Every value is a line of the file: the same command continues a
stopped run, also with more pairs. For each metric, distribution and pair of sizes, the table has the number
of trusted pairs whose interval contains the true value, the number of trusted pairs, and the number of pairs.
A metric passes if at most 10 % of all pairs are trusted and miss the true value, or if 90 % of the trusted
pairs contain it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gancore.data.dataset import Spec
from gancore.errors import GancoreError
from gancore.evaluation.catalogue import CORE_METRICS
from gancore.metrics.metric import Metric, MetricInputs, SampleSet
from gancore.plugins import plugins
from gancore.random import Key

Law = Callable[[Key, int, int], tuple[Tensor, Tensor]]
D, MODES = 8, 10
SIZES = ((50, 50), (1000, 1000), (2000, 300), (300, 2000))
"""Numbers of samples and of real rows."""
TRAIN_ROWS = 1000


def gaussian(d: int = D, shift: float = 0.0, scale: float = 1.0) -> Law:
    """N(0, I), and samples with a shifted first coordinate and scaled coordinates."""

    def draw(key: Key, n: int, m: int) -> tuple[Tensor, Tensor]:
        fake = scale * (key / "fake").normal(n, d)
        fake[:, 0] += shift
        return fake, (key / "real").normal(m, d)

    return draw


def student(key: Key, n: int, m: int) -> tuple[Tensor, Tensor]:
    """Equal distributions; coordinates are Student's t with 3 degrees of freedom, z / sqrt(chi^2_3 / 3)."""

    def of(key: Key, rows: int) -> Tensor:
        chi = (key / "chi").normal(rows, D, 3).square().sum(2) / 3
        return (key / "z").normal(rows, D) / chi.sqrt()

    return of(key / "fake", n), of(key / "real", m)


def modes(weights: Tensor) -> Law:
    """Ten Gaussians in ten corners, with equal weights for real rows and ``weights`` (10,) for samples."""

    def of(key: Key, rows: int, weights: Tensor) -> Tensor:
        edges = (weights / weights.sum()).cumsum(0)
        which = torch.searchsorted(edges, (key / "which").uniform(rows)).clamp(max=MODES - 1)
        return 4 * torch.nn.functional.one_hot(which, MODES).float() + 0.5 * (key / "cloud").normal(
            rows, MODES
        )

    return lambda key, n, m: (of(key / "fake", n, weights), of(key / "real", m, torch.ones(MODES)))


LAWS: Mapping[str, Law] = {
    "equal": gaussian(),
    "shifted": gaussian(shift=0.5),
    "narrowed": gaussian(scale=0.8),
    "t3": student,
    "dropped": modes((torch.arange(MODES) < 7).float()),
    "skewed": modes(0.7 ** torch.arange(MODES)),
    "d64": gaussian(d=64, scale=0.9),
}


def evidence_of(law: str, n: int, m: int, pair: int) -> MetricInputs:
    """The inputs of a pair. Rows of train are the same for all pairs: values are conditional on them."""
    fake, real = LAWS[law](Key.of("coverage", law, n, m, pair), n, m)
    train = LAWS[law](Key.of("coverage", law, "train"), 2, TRAIN_ROWS)[1]
    sets = [SampleSet(x, features=x) for x in (fake, real, train)]
    return MetricInputs(*sets, Spec({}), key=Key.of("evaluate", pair))


def of_features() -> dict[str, Metric]:
    """The metrics of the core that need features, or features and train."""
    found = {entry.name: plugins().load_metric(entry) for entry in CORE_METRICS}
    return {name: measure for name, measure in found.items() if "features" in measure.requires}


def measure_once(measure: Metric, inputs: MetricInputs) -> dict[str, Any]:
    began = time.perf_counter()
    try:
        assert measure.interval is not None
        value, (low, high, _) = float(measure.compute(inputs)), measure.interval(inputs)
        doubt = measure.caveat(inputs) if measure.caveat else ""
        found = {"value": value, "low": float(low), "high": float(high), "doubt": doubt}
    except GancoreError as error:
        found = {"refused": str(error)}
    return {**found, "seconds": round(time.perf_counter() - began, 4)}


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def identity(line: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(line[name] for name in ("law", "n", "m", "measure", "pair"))


def run(
    path: Path, laws: Iterable[str], sizes: Iterable[tuple[int, int]], names: Iterable[str], pairs: int
) -> None:
    """Evaluate pair by pair over all distributions and metrics, so that a stopped run has equal numbers."""
    known, measures = {identity(line) for line in read(path)}, of_features()
    with path.open("a") as out:
        for pair in range(pairs):
            for law in laws:
                for n, m in sizes:
                    lacking = [name for name in names if (law, n, m, name, pair) not in known]
                    inputs = evidence_of(law, n, m, pair) if lacking else None
                    for name in lacking:
                        assert inputs is not None
                        place = {"law": law, "n": n, "m": m, "measure": name, "pair": pair}
                        out.write(json.dumps({**place, **measure_once(measures[name], inputs)}) + "\n")
                    out.flush()


def summarise_lines(lines: list[dict[str, Any]]) -> dict[str, float]:
    """The rates of one metric, distribution and size.

    The true value of a pair is the mean over the others.
    """
    values = torch.tensor([line["value"] for line in lines], dtype=torch.float64)
    truths = (values.sum() - values) / max(1, len(values) - 1)
    held = [line["low"] <= truth <= line["high"] for line, truth in zip(lines, truths.tolist(), strict=True)]
    trusted = [not line["doubt"] for line in lines]
    both = sum(h and t for h, t in zip(held, trusted, strict=True))
    missed = (sum(trusted) - both) / len(lines)
    return {
        "pairs": len(lines),
        "held": sum(held) / len(lines),
        "trusted": sum(trusted) / len(lines),
        "held where trusted": both / max(1, sum(trusted)),
        "missed": missed,
        "passes": float(missed <= 0.1 + 1e-9 or both >= 0.9 * sum(trusted)),
    }


def report(path: Path, names: Iterable[str] | None) -> None:
    groups: dict[tuple[str, str, int, int], list[dict[str, Any]]] = defaultdict(list)
    refused: dict[tuple[str, str, int, int], int] = defaultdict(int)
    for line in read(path):
        place = (line["measure"], line["law"], line["n"], line["m"])
        if "refused" in line:
            refused[place] += 1
        else:
            groups[place].append(line)
    shown = [name for name in (names or of_features()) if any(place[0] == name for place in groups)]
    print("trusted pairs that contain the true value / trusted pairs, of pairs; ! fails; - refused")
    for name in shown:
        print(f"\n{name}")
        for n, m in SIZES:
            cells = []
            for law in LAWS:
                place = (name, law, n, m)
                found = summarise_lines(groups[place]) if len(groups[place]) > 1 else None
                if found is None:
                    cells.append(f"{law} -" if refused[place] else f"{law} ?")
                    continue
                pairs = int(found["pairs"])
                trusted = round(found["trusted"] * pairs)
                held = round(found["held where trusted"] * trusted)
                cells.append(f"{law} {held}/{trusted} of {pairs}{'' if found['passes'] else '!'}")
            print(f"  {n:>4}/{m:<4}  " + "  ".join(cells))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, help="JSON lines to continue or report")
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--laws", nargs="+", choices=list(LAWS), default=list(LAWS))
    parser.add_argument("--sizes", nargs="+", default=[f"{n}/{m}" for n, m in SIZES], metavar="N/M")
    parser.add_argument("--measures", nargs="+", choices=list(of_features()), default=None, metavar="NAME")
    parser.add_argument("--report", action="store_true", help="print the table of the file")
    options = parser.parse_args()
    if not options.report:
        sizes = [(int(n), int(m)) for n, m in (text.split("/") for text in options.sizes)]
        run(options.file, options.laws, sizes, options.measures or list(of_features()), options.pairs)
    report(options.file, options.measures)


if __name__ == "__main__":
    main()
