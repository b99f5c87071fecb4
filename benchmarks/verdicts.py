"""How often a verdict names a winner that is none, and misses one that is.

    python benchmarks/verdicts.py train.jsonl [--sizes 100,300,1000] [--comparisons 200] [--measures A,B]

Data are a mixture of ten Gaussians in eight dimensions. A model is this law with its modes moved, weighed
anew and widened, by so much as its recipe and its seed say. Four kinds of comparison, of two recipes with two
seeds each, measured and judged as ``gancore compare`` does it:

- ``equal``: all models are the law of the data itself. A winner among models is false.
- ``spread``: models of both recipes differ from the data, and by their seeds, alike. A winner among recipes,
  "beyond the spread over seeds", is false.
- ``ordered``: the models of one recipe are further from the data than those of the other. It is missed where
  nothing separates them, and false where the other is called better.
- ``lost``: one recipe has lost three of the ten modes. It must be told from real rows, and lose.

A line is appended to the file for each comparison; those that stand there are not made again.
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

from gancore.comparison.findings import find
from gancore.comparison.verdict import Case, Statement, judge
from gancore.domain import Batch, Spec
from gancore.evaluation.anchors import Anchors
from gancore.evaluation.catalogue import MEASURES
from gancore.evaluation.coordinates import Coordinates
from gancore.evaluation.evidence import Evidence, Sampled
from gancore.evaluation.extraction import Maps
from gancore.evaluation.reading import Evaluation, Reading
from gancore.evaluation.store import Store
from gancore.evaluation.taking import Taker
from gancore.plugins import plugins
from gancore.runtime.randomness import CPU, Key

MODES, D = 10, 8
KINDS = ("equal", "spread", "ordered", "lost")
DEFAULT = "frechet,kid,precision,recall,density,coverage,prd_recall,sliced_wasserstein,c2st_neighbour"
ENTRIES = {entry.name: entry for entry in MEASURES}
Told = dict[str, Any]


def law(key: Key, n: int, moved: float = 0.0, seed: Key | None = None, modes: int = MODES) -> Tensor:
    """(n, D) of the data's law, or of a model that is ``moved`` from it in a way of its seed."""
    centres = 3 * Key.of("centres").normal(MODES, D)
    weights, scale = torch.ones(modes), 1.0
    if seed is not None:
        centres = centres + moved * (seed / "centres").normal(MODES, D)
        weights = (moved * (seed / "weights").normal(modes)).exp()
        scale = 1.0 + moved * float((seed / "scale").uniform(1))
    which = torch.multinomial(weights, n, replacement=True, generator=(key / "mode").generator())
    return centres[which] + 0.5 * scale * (key / "noise").normal(n, D)


def models(kind: str, key: Key, n: int) -> Iterator[tuple[str, int, Tensor]]:
    """Name, seed and samples of each."""
    for name in "ab":
        for seed in range(2):
            own = key / name / seed
            moved = {"equal": 0.0, "lost": 0.0, "spread": 0.2, "ordered": 0.2 if name == "a" else 0.8}[kind]
            kept = MODES - 3 if kind == "lost" and name == "b" else MODES
            yield name, seed, law(own, n, moved, own / "model" if moved else None, kept)


def compare(kind: str, number: int, n: int, measures: list[str]) -> Told:
    key = Key.of("verdicts", kind, number, n)
    real, train, held = (law(key / split, n) for split in ("real", "train", "held"))
    read: dict[str, dict[int, Evaluation]] = {}
    with tempfile.TemporaryDirectory() as folder:
        maps = Maps(Spec({}), CPU, Store(Path(folder)), Coordinates())
        for name, seed, fake in models(kind, key, n):
            evidence = Evidence(*map(_sampled, (fake, real, train)), Spec({}), Key.of("evaluate", number))
            anchors = Anchors(Batch(held), evidence, maps)
            taker = Taker(evidence, maps, anchors, {}, Reading("", None))
            readings = [taker.take(ENTRIES[m], plugins().measure(ENTRIES[m])) for m in measures]
            read.setdefault(name, {})[seed] = Evaluation(f"{name}-{seed}", tuple(readings))
    findings = find(read)
    statements = judge(Case(findings, "no"))
    headline = findings.headline
    by_measure = {f.measure: f.lead() for f in findings if f.decides}
    return {
        "headline": headline.measure if headline else "",
        "lead": headline.lead() if headline else [],
        "leads": by_measure,
        "beyond_seeds": "goes beyond the spread" in _said(statements, "seeds"),
        "not_told": [name for name in read if headline and headline.reaches_real(name, len(by_measure) * 2)],
        "named": "it can" in _said(statements, "real"),
        "distrusted": [f.measure for f in findings if f.distrust],
    }


def _sampled(rows: Tensor) -> Sampled:
    return Sampled(rows, features=rows)


def _said(statements: list[Statement], rule: str) -> str:
    return " ".join(statement.text for statement in statements if statement.rule == rule)


def summary(lines: list[Told]) -> str:
    """Markdown: for each kind and size how often the verdict was wrong, and how often it was silent."""
    rows = [
        "| kind | n | made | winner a | winner b | beyond seeds | b not told from real | told by others |",
        "|---|---|---|---|---|---|---|---|",
    ]
    groups: dict[tuple[str, int], list[Told]] = {}
    for line in lines:
        groups.setdefault((line["kind"], line["n"]), []).append(line)
    for (kind, n), found in sorted(groups.items()):
        counts = Counter[str]()
        for line in found:
            counts["winner"] += line["lead"] == ["a"]
            counts["wrong"] += line["lead"] == ["b"]
            counts["seeds"] += line["beyond_seeds"]
            counts["not told"] += "b" in line["not_told"]
            counts["named"] += line["named"]
        told = [counts[name] for name in ("winner", "wrong", "seeds", "not told", "named")]
        rows.append(f"| {kind} | {n} | {len(found)} | " + " | ".join(map(str, told)) + " |")
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
                told = compare(kind, number, n, options.measures.split(","))
                lines.append({"kind": kind, "n": n, "number": number, **told})
                with options.file.open("a") as file:
                    file.write(json.dumps(lines[-1]) + "\n")
    print(summary(lines))


if __name__ == "__main__":
    main()
