"""Measures false and missed winners of the verdict by simulation.

    python benchmarks/verdicts.py train.jsonl [--sizes 100,300,1000] [--comparisons 200] [--measures A,B]

Data are a mixture of ten Gaussians in eight dimensions. A model is this distribution with its modes moved,
reweighted and widened, by amounts that depend on its recipe and seed. Four kinds of comparison, of two
recipes with two seeds each, evaluated as in ``gancore compare``:

- ``equal``: all models are the distribution of the data itself. A winner among models is false.
- ``spread``: models of both recipes differ equally from the data, and by their seeds. A winner among
  recipes, whose difference exceeds the variation over seeds, is false.
- ``ordered``: the models of one recipe are further from the data than those of the other. The winner is
  missed if there is none, and false if it is the other recipe.
- ``lost``: one recipe has only seven of the ten modes. It must be distinguished from real rows, and lose.

A line is appended to the file for each comparison; those in the file are not repeated.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gancore.comparison.analysis import analyse
from gancore.comparison.verdict import Statement, VerdictInputs, write_verdict
from gancore.data.dataset import Batch, Spec
from gancore.evaluation.cache import DiskCache
from gancore.evaluation.catalogue import CORE_METRICS
from gancore.evaluation.controls import Controls
from gancore.evaluation.evaluator import Evaluator
from gancore.evaluation.features import Coordinates, FeaturePipeline
from gancore.evaluation.result import EvaluationResult, MetricResult
from gancore.metrics.metric import MetricInputs, SampleSet
from gancore.plugins import plugins
from gancore.random import CPU, Key

MODES, D = 10, 8
KINDS = ("equal", "spread", "ordered", "lost")
DEFAULT = "frechet,kid,precision,recall,density,coverage,prd_recall,sliced_wasserstein,c2st_neighbour"
ENTRIES = {entry.name: entry for entry in CORE_METRICS}
Record = dict[str, Any]


def sample(key: Key, n: int, moved: float = 0.0, seed: Key | None = None, modes: int = MODES) -> Tensor:
    """Rows (n, D) of the data, or of a model whose difference from the data is scaled by ``moved``."""
    centres = 3 * Key.of("centres").normal(MODES, D)
    weights, scale = torch.ones(modes), 1.0
    if seed is not None:
        centres = centres + moved * (seed / "centres").normal(MODES, D)
        weights = (moved * (seed / "weights").normal(modes)).exp()
        scale = 1.0 + moved * float((seed / "scale").uniform(1))
    which = torch.multinomial(weights, n, replacement=True, generator=(key / "mode").generator())
    return centres[which] + 0.5 * scale * (key / "noise").normal(n, D)


def models(kind: str, key: Key, n: int) -> Iterator[tuple[str, int, Tensor]]:
    """Name, seed and samples of each model."""
    for name in "ab":
        for seed in range(2):
            own = key / name / seed
            moved = {"equal": 0.0, "lost": 0.0, "spread": 0.2, "ordered": 0.2 if name == "a" else 0.8}[kind]
            kept = MODES - 3 if kind == "lost" and name == "b" else MODES
            yield name, seed, sample(own, n, moved, own / "model" if moved else None, kept)


def compare(kind: str, number: int, n: int, measures: list[str]) -> Record:
    key = Key.of("verdicts", kind, number, n)
    real, train, held = (sample(key / split, n) for split in ("real", "train", "held"))
    read: dict[str, dict[int, EvaluationResult]] = {}
    with tempfile.TemporaryDirectory() as folder:
        pipeline = FeaturePipeline(Spec({}), CPU, DiskCache(Path(folder)), Coordinates())
        for name, seed, fake in models(kind, key, n):
            inputs = MetricInputs(*map(_sampled, (fake, real, train)), Spec({}), Key.of("evaluate", number))
            anchors = Controls(Batch(held), inputs, pipeline)
            evaluator = Evaluator(inputs, pipeline, anchors, {}, MetricResult("", None))
            readings = [evaluator.evaluate(ENTRIES[m], plugins().load_metric(ENTRIES[m])) for m in measures]
            read.setdefault(name, {})[seed] = EvaluationResult(f"{name}-{seed}", tuple(readings))
    analysis = analyse(read)
    statements = write_verdict(VerdictInputs(analysis, "no"))
    headline = analysis.headline
    leaders = {f.metric: f.leaders() for f in analysis if f.is_decisive}
    return {
        "headline": headline.metric if headline else "",
        "lead": headline.leaders() if headline else [],
        "leads": leaders,
        "beyond_seeds": "exceeds the variation" in _text_of(statements, "seeds"),
        "like_real": [name for name in read if headline and headline.matches_real(name, len(leaders) * 2)],
        "named": "it is" in _text_of(statements, "real"),
        "distrusted": [f.metric for f in analysis if f.distrust_reason],
    }


def _sampled(rows: Tensor) -> SampleSet:
    return SampleSet(rows, features=rows)


def _text_of(statements: list[Statement], rule: str) -> str:
    return " ".join(statement.text for statement in statements if statement.rule == rule)


def markdown(lines: list[Record]) -> str:
    """Markdown with the numbers of right, wrong and missing winners for each kind and size."""
    rows = [
        "| kind | n | made | winner a | winner b | beyond seeds | b like real | b unlike real by others |",
        "|---|---|---|---|---|---|---|---|",
    ]
    groups: dict[tuple[str, int], list[Record]] = {}
    for line in lines:
        groups.setdefault((line["kind"], line["n"]), []).append(line)
    for (kind, n), found in sorted(groups.items()):
        counts = Counter[str]()
        for line in found:
            counts["winner"] += line["lead"] == ["a"]
            counts["wrong"] += line["lead"] == ["b"]
            counts["seeds"] += line["beyond_seeds"]
            counts["like real"] += "b" in line["like_real"]
            counts["named"] += line["named"]
        cells = [counts[name] for name in ("winner", "wrong", "seeds", "like real", "named")]
        rows.append(f"| {kind} | {n} | {len(found)} | " + " | ".join(map(str, cells)) + " |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--sizes", default="100,300,1000")
    parser.add_argument("--comparisons", type=int, default=200)
    parser.add_argument("--measures", default=DEFAULT)
    parser.add_argument("--kinds", default=",".join(KINDS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    kept = options.file.read_text().splitlines() if options.file.exists() else []
    lines = [json.loads(line) for line in kept]
    done = {(line["kind"], line["n"], line["number"]) for line in lines}
    for n in map(int, options.sizes.split(",")):
        for number in range(options.comparisons):
            for kind in options.kinds.split(","):
                if (kind, n, number) in done:
                    continue
                record = compare(kind, number, n, options.measures.split(","))
                lines.append({"kind": kind, "n": n, "number": number, **record})
                with options.file.open("a") as file:
                    file.write(json.dumps(lines[-1]) + "\n")
    print(markdown(lines))


if __name__ == "__main__":
    main()
