"""Measures which feature extractors and metrics detect faults of known strength in real held-out rows.

    python benchmarks/planted_faults.py take [--data mnist,fsdd] [--n 300] [--features principal]
        [--out benchmarks/planted_faults]
    python benchmarks/planted_faults.py table [--data fsdd] [--all] [--out benchmarks/planted_faults]

``take`` evaluates held-out rows of each data set in place of samples, unchanged and with each of eight faults
at three strengths, with the feature extractors and metrics of ``gancore evaluate``. It may be stopped at any
time; it computes what is missing. Held-out rows (of valid and test) are divided into blocks of n. Values of
clean rows are those of up to ten pairs of blocks, a reference and one in place of samples. A fault is
detected in a draw if its value is worse than that of 97.5 % of further clean pairs, by Student's t. Each
fault is drawn three times, with other classes and rows. Metrics without a better direction, or with an ideal
between the ends, have limits on both sides.

``table`` prints Markdown: for each feature extractor the smallest strength from which on a metric detects
every draw, and the metric; with ``--all`` the same for each metric, with the share of false alarms of clean
pairs and the seconds for a value.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from faults import FAULTS, Draw, Fault, Pool, wrong_labels
from scipy.stats import t as student

from gancore.data.cache import cache_folder
from gancore.data.dataset import Batch, Data
from gancore.data.sources import resolve_source
from gancore.domain import Domain
from gancore.entries import MetricEntry
from gancore.errors import GancoreError
from gancore.evaluation.cache import DiskCache
from gancore.evaluation.catalogue import available_extractors, available_metrics, load_metrics
from gancore.evaluation.classifier import ClassifierCache
from gancore.evaluation.evaluator import Evaluator
from gancore.evaluation.features import ExtractorLoader, FeatureContext, FeaturePipeline
from gancore.evaluation.reference import ReferenceData, read_rows
from gancore.evaluation.result import MetricResult
from gancore.files import atomic_write
from gancore.metrics.metric import Metric, MetricInputs, SampleSet
from gancore.plugins import plugins
from gancore.random import CPU, Key
from gancore.runtime.device import processor_name
from gancore.trees import tree_cat, tree_map

DATA: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "mnist": ("image", {}),
    "cifar10": ("image", {}),
    "clothing64": ("image", {"valid_fraction": 0.4}),
    "fsdd": ("audio", {"valid_fraction": 0.4}),
    "percussion": ("audio", {"valid_fraction": 0.4, "test_fraction": 0.3}),
    "ring": ("synthetic", {"train_examples": 10_000}),
    "grid": ("synthetic", {"train_examples": 10_000}),
}
"""Domain and settings of each data set; small ones have larger held-out splits."""
NONE = "none"
"""The name that replaces a feature extractor for metrics of samples or posteriors."""
CLEAN, MOST_CLEAN, DRAWS, MOST_BLOCKS, TRAIN = "clean", 10, 3, 6, 600
UNKNOWN = "not taken"
LACKING = {"log_prob": "real rows have no likelihood", "classifier": "no classifier is trained"}
UNLIKELY = {"classifier", "log_prob"}


@dataclass
class Bench:
    """One data set at one n."""

    name: str
    n: int
    out: Path

    @cached_property
    def domain(self) -> Domain:
        return plugins().load_domain(DATA[self.name][0])

    @cached_property
    def reference(self) -> ReferenceData:
        section = self.domain.Config(source=self.name, **DATA[self.name][1])
        source = resolve_source(self.name, self.domain.sources, None, print)
        return ReferenceData(source, section, self.domain.open(source, section))

    @cached_property
    def loader(self) -> ExtractorLoader:
        cache = cache_folder() / "evaluation"
        judge = ClassifierCache(self.domain, self.reference, cache / "judges", CPU, announce=print)
        bench = FeatureContext(self.reference.data, cache, judge, print)
        return ExtractorLoader(available_extractors(self.domain, self.reference.data.spec, print), bench)

    @cached_property
    def measures(self) -> Mapping[str, tuple[MetricEntry, Metric]]:
        """The metrics of the default set without intervals: draws give the variance."""
        entries = available_metrics(self.domain, self.reference.data.spec, print)
        found = load_metrics(entries, None, print)
        bare = {n: replace(m, interval=None, details=None, caveat=None) for n, m in found.items()}
        return {name: (entries[name], m) for name, m in bare.items() if not m.requires & UNLIKELY}

    @cached_property
    def pool(self) -> Pool:
        return pool_of(self.reference.data, self.n)

    @property
    def file(self) -> Path:
        return self.out / f"{self.name}-{self.n}.json"


def pool_of(data: Data, n: int) -> Pool:
    """Blocks of n held-out rows, and some rows of train."""
    key, parts, count = Key.of("planted faults"), [], MOST_BLOCKS * n
    for split, most in (("test", count), ("valid", count), ("train", TRAIN)):
        view = data.view(split)
        parts.append(read_rows(view, (key / split).permutation(len(view))[:most], key / split))
    rows = Batch(tree_cat([p.data for p in parts]), tree_cat([p.condition for p in parts]))
    held = len(parts[0]) + len(parts[1])
    order = (key / "blocks").permutation(held)
    blocks = list(order.split(n))[:MOST_BLOCKS]
    whole = [block for block in blocks if len(block) == n]
    return Pool(rows, whole, torch.arange(held, len(rows)), data.spec)


def draws(blocks: int) -> list[Draw]:
    """Ordered pairs of blocks, with each block equally often if possible."""
    pairs = [(a, (a + step) % blocks) for step in range(1, blocks) for a in range(blocks)]
    return [Draw(a, b, Key.of("draw", k)) for k, (a, b) in enumerate(pairs[:MOST_CLEAN])]


@dataclass
class FeatureRun:
    """The evaluation of a data set with one feature extractor."""

    bench: Bench
    features: str

    def __post_init__(self) -> None:
        bench, began = self.bench, time.process_time()
        on_features = self.features != NONE
        self.measures = {
            name: pair
            for name, pair in bench.measures.items()
            if ("features" in pair[1].all_requirements) is on_features
        }
        store = DiskCache(cache_folder() / "evaluation" / "sets", print)
        self.pipeline = FeaturePipeline(bench.reference.data.spec, CPU, store)
        bench.loader.load(self.pipeline, self.features, [pair[1] for pair in self.measures.values()])
        self.prepared, began = time.process_time() - began, time.process_time()
        self.seen = self.pipeline.extract(bench.pool.rows, cache=True)
        self.embedded = (time.process_time() - began) / len(self.seen)

    def planted(self, fault: Fault | None, strength: float, draw: Draw) -> SampleSet:
        pool = self.bench.pool
        block = pool.blocks[draw.fake]
        if fault is None:
            return self.seen.select(block)
        key = draw.key / fault.name
        if fault.choose is not None:
            return self.seen.select(fault.choose(pool, replace(draw, key=key), strength))
        if fault.change is None:
            rows = self.seen.select(block)
            return replace(rows, condition=wrong_labels(rows.condition, strength, key))
        rows = Batch(*(tree_map(lambda leaf: leaf[block], t) for t in (pool.rows.data, pool.rows.condition)))
        return self.pipeline.extract(
            Batch(fault.change(rows.data, strength, pool.spec), rows.condition), cache=True
        )

    def evaluate_fault(
        self, fault: Fault | None, strength: float, draw: Draw, names: list[str]
    ) -> dict[str, MetricResult]:
        pool, classifier = self.bench.pool, self.pipeline.classifier
        inputs = MetricInputs(
            self.planted(fault, strength, draw),
            self.seen.select(pool.blocks[draw.real]),
            self.seen.select(pool.train),
            pool.spec,
            classes=classifier.classes if classifier else (),
        )
        lacking = dict(LACKING)
        if classifier is None:
            lacking["log_posteriors"] = self.bench.loader.no_classifier_reason
        evaluator = Evaluator(inputs, self.pipeline, None, lacking, MetricResult("", None))
        return {name: evaluator.evaluate(*self.measures[name]) for name in names}


def measure_missing(bench: Bench, only: list[str]) -> None:
    """Compute everything that is missing for a data set; the file is written after each fault."""
    found = json.loads(bench.file.read_text()) if bench.file.exists() else {"looks": {}}
    for name in [name for name in (*bench.loader.entries, NONE) if not only or name in only]:
        result = found["looks"].setdefault(name, {"values": {}, "seconds": {}})
        wanted = [
            n for n, (_, m) in bench.measures.items() if ("features" in m.all_requirements) is (name != NONE)
        ]
        if "left out" in result or not any(missing(result, fault, wanted) for fault in faults_of(bench)):
            continue
        try:
            look = FeatureRun(bench, name)
        except GancoreError as error:
            result["left out"] = str(error)
            print(f"{bench.name} {name}: {error}", flush=True)
            continue
        result["prepared"], result["seconds a row"] = round(look.prepared, 1), round(look.embedded, 5)
        for fault in faults_of(bench):
            began, names = time.process_time(), missing(result, fault, wanted)
            if names:
                add_values(look, fault, result, names)
                found["about"] = about(bench)
                bench.out.mkdir(parents=True, exist_ok=True)
                atomic_write(bench.file, (json.dumps(found, indent=1) + "\n").encode())
                print(f"{bench.name} {name} {title(fault)}: {time.process_time() - began:.0f} s", flush=True)


def faults_of(bench: Bench) -> list[Fault | None]:
    """All faults; first None, for clean rows."""
    return [None, *FAULTS[bench.domain.name]]


def title(fault: Fault | None) -> str:
    return fault.name if fault else CLEAN


def missing(result: Mapping[str, Any], fault: Fault | None, wanted: list[str]) -> list[str]:
    """Metrics that are not computed for a fault."""
    have = result["values"].get(title(fault), {})
    have = next(iter(have.values()), {}) if fault else have
    return [name for name in wanted if name not in have]


def add_values(look: FeatureRun, fault: Fault | None, result: dict[str, Any], names: list[str]) -> None:
    """Add the values of each metric in each draw; for a fault, by strength."""
    every = draws(len(look.bench.pool.blocks))
    found = result["values"].setdefault(title(fault), {})
    for strength in fault.strengths if fault else (0.0,):
        readings = [
            look.evaluate_fault(fault, strength, draw, names) for draw in (every[:DRAWS] if fault else every)
        ]
        values = {name: [as_json(reading[name].value) for reading in readings] for name in names}
        (found.setdefault(f"{strength:g}", {}) if fault else found).update(values)
        if fault is None:
            for name in names:
                seconds = sum(reading[name].seconds for reading in readings) / len(readings)
                result["seconds"][name] = float(f"{seconds:.2g}")


def as_json(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(f"{value:.6g}")


def about(bench: Bench) -> dict[str, Any]:
    return {
        "data": bench.name,
        "domain": bench.domain.name,
        "n": bench.n,
        "blocks": len(bench.pool.blocks),
        "rows of train": len(bench.pool.train),
        "processor": processor_name(),
        "measures": {
            name: {"higher_is_better": m.higher_is_better, "ideal": m.ideal, "needs": sorted(m.requires)}
            for name, (_, m) in bench.measures.items()
        },
    }


# Which faults are detected.


@dataclass(frozen=True)
class Scale:
    """The values of a metric on clean pairs, and the worse direction: -1 low, 1 high, 0 both."""

    clean: list[float]
    worse: int

    def sees(self, value: float | None) -> bool:
        if value is None:
            return False
        count, mean = len(self.clean), sum(self.clean) / len(self.clean)
        spread = (sum((v - mean) ** 2 for v in self.clean) / (count - 1)) ** 0.5
        away = (value - mean) * self.worse if self.worse else abs(value - mean)
        return away > float(student.ppf(0.975, count - 1)) * spread * (1 + 1 / count) ** 0.5 + 1e-9

    @property
    def false_alarms(self) -> float:
        """The share of clean pairs that are detected relative to the others."""
        others = [self.clean[:k] + self.clean[k + 1 :] for k in range(len(self.clean))]
        return sum(Scale(o, self.worse).sees(v) for o, v in zip(others, self.clean, strict=True)) / len(
            others
        )


def scale_of(result: Mapping[str, Any], kind: Mapping[str, Any], measure: str) -> Scale | None:
    values = result["values"].get(CLEAN, {}).get(measure)
    if not values or any(value is None for value in values):
        return None
    ends = {False: 1, True: -1, None: 0}
    return Scale(values, 0 if kind["ideal"] is not None else ends[kind["higher_is_better"]])


def least_detected(result: Mapping[str, Any], scale: Scale, fault: Fault, measure: str) -> str:
    """The smallest strength from which on all draws are detected; ``-`` if there is none."""
    if fault.name not in result["values"]:
        return UNKNOWN
    least = "-"
    for strength in reversed(fault.strengths):
        values = result["values"].get(fault.name, {}).get(f"{strength:g}", {}).get(measure, [])
        if not values or not all(scale.sees(value) for value in values):
            break
        least = f"{strength:g}"
    return least


def rows_of(found: Mapping[str, Any]) -> Iterator[tuple[str, str, Scale, list[str], float]]:
    """Feature extractor, metric, scale, detected strength of each fault, seconds."""
    domain = found["about"]["domain"]
    for name, result in found["looks"].items():
        for measure, kind in found["about"]["measures"].items():
            scale = scale_of(result, kind, measure)
            if scale is not None:
                cells = [least_detected(result, scale, fault, measure) for fault in FAULTS[domain]]
                yield name, measure, scale, cells, result["seconds"][measure]


def table(out: Path, data: list[str], whole: bool) -> None:
    for file in sorted(out.glob("*.json"), key=order_of):
        found = json.loads(file.read_text())
        if not data or found["about"]["data"] in data:
            print_tables(found, whole)


def order_of(file: Path) -> tuple[int, int]:
    name, n = file.stem.rsplit("-", 1)
    return list(DATA).index(name), int(n)


def print_tables(found: Mapping[str, Any], whole: bool) -> None:
    """Print what any metric of each feature extractor detects; with ``whole``, what each metric detects."""
    about = found["about"]
    faults = FAULTS[about["domain"]]
    head = [f"{f.name}, {f.unit}: {', '.join(f'{s:g}' for s in f.strengths)}" for f in faults]
    print(f"\n**{about['data']}**, n = {about['n']:,}, {about['blocks']} blocks\n")
    rows = list(rows_of(found))
    if whole:
        print(f"| features | measure | {' | '.join(head)} | false alarms | seconds |")
        print("|---|---|" + "---|" * (len(head) + 2))
        for name, measure, scale, cells, seconds in rows:
            if not {*cells} <= {"-", UNKNOWN}:
                result = f"| {name} | `{measure}` | {' | '.join(cells)} "
                print(f"{result}| {scale.false_alarms:.0%} | {seconds:.2g} |")
        return
    print(f"| features | {' | '.join(head)} |")
    print("|---|" + "---|" * len(head))
    for name in found["looks"]:
        own = [(measure, cells) for look, measure, _, cells, _ in rows if look == name]
        if own:
            print(f"| {name} | {' | '.join(best_of(fault, k, own) for k, fault in enumerate(faults))} |")


def best_of(fault: Fault, column: int, rows: list[tuple[str, list[str]]]) -> str:
    """The smallest detected strength, and the metrics that detect it in the order of the catalogue."""
    for strength in fault.strengths:
        able = [measure for measure, cells in rows if cells[column] == f"{strength:g}"]
        if able:
            more = f" and {len(able) - 2} more" if len(able) > 2 else ""
            return f"{strength:g}: {', '.join(f'`{name}`' for name in able[:2])}{more}"
    return rows[0][1][column]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("take", "table"))
    parser.add_argument("--data", default="", help="data sets, separated by commas; default: all")
    parser.add_argument("--n", default="300", help="rows of each set")
    parser.add_argument(
        "--features", default="", help="feature extractors, separated by commas; default: all"
    )
    parser.add_argument("--all", action="store_true", help="print a table of every metric")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "planted_faults")
    options = parser.parse_args()
    data = [name for name in options.data.split(",") if name]
    if options.what == "table":
        table(options.out, data, options.all)
        return
    torch.set_num_threads(1)
    for n in map(int, options.n.split(",")):
        for name in data or DATA:
            measure_missing(Bench(name, n, options.out), [f for f in options.features.split(",") if f])


if __name__ == "__main__":
    main()
