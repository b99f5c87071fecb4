"""All models of one graph at their overlap of edges, beside the configuration model and published figures.

    python benchmarks/graph_overlap.py --out runs/overlap --recipes cell dcsbm configuration erdos-renyi
    python benchmarks/graph_overlap.py --out runs/overlap --recipes netgan --budget 2h
    python benchmarks/graph_overlap.py --runs runs/netgan runs/cell --out runs/overlap

Trains each recipe on ``cora_ml`` (``--split published``: NetGAN's split) in the folder ``--out``, evaluates
it and those of ``--runs``, and prints the domain's table of statistics (gancore_graph.overlap_table) of all,
in Markdown, with what Bojchevski et al. 2018 publish (table 1, and table 5 of the supplement: the mean of
five samples). Stopped runs go on where they stopped; runs and evaluations that are done are kept.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from gancore_graph.overlap_table import TITLE

import gancore
from gancore.evaluation.result import EvaluationResult
from gancore.evaluation.tables import Table, TableRow, format_figure, merge_tables
from gancore.run_folder import RunFolder

PUBLISHED: dict[str, dict[str, float]] = {
    "input: train": {"overlap": 1, "maximum_degree": 240, "assortativity": -0.075, "triangles": 2814}
    | {"power_law": 1.860, "claw_ratio": 2.73e-3, "path_length": 5.61, "wedges": 101_872, "gini": 0.482},
    "configuration": {"overlap": 0.013, "assortativity": -0.030, "triangles": 322, "claw_ratio": 3.0e-4}
    | {"path_length": 4.38},
    "configuration 52 %": {"overlap": 0.52, "assortativity": -0.051, "triangles": 626}
    | {"claw_ratio": 6.1e-4, "path_length": 4.46},
    "DC-SBM": {"overlap": 0.11, "maximum_degree": 165, "assortativity": -0.052, "triangles": 1403}
    | {"power_law": 1.814, "claw_ratio": 3.30e-3, "path_length": 5.12}
    | {"link_roc_auc": 0.9603, "link_average_precision": 0.9515},
    "NetGAN VAL": {"overlap": 0.39, "maximum_degree": 199, "assortativity": -0.060, "triangles": 1410}
    | {"power_law": 1.773, "claw_ratio": 2.33e-3, "path_length": 5.17}
    | {"link_roc_auc": 0.9519, "link_average_precision": 0.9524},
    "NetGAN EO": {"overlap": 0.52, "maximum_degree": 233, "assortativity": -0.066, "triangles": 1588}
    | {"power_law": 1.793, "claw_ratio": 2.44e-3, "path_length": 5.20, "wedges": 86_763, "gini": 0.42},
}
"""NetGAN's tables on Cora-ML. The paper calls ``claw_ratio`` the clustering coefficient; links are scored by
100 million walks, at the model that is selected by them (VAL)."""


def train(recipe: str, folder: Path, given: argparse.Namespace) -> Path:
    """A finished run, trained now as far as it is not."""
    status = RunFolder(folder).read_status()
    if status is None or status.status != "done":
        gancore.train(
            "graph",
            data="cora_ml",
            recipe=recipe,
            time=given.budget,
            overrides=[f"data.split={given.split}", *given.set],
            data_root=given.data_root,
            out=folder,
            resume="auto",
        )
    return folder


def evaluate(folder: Path, given: argparse.Namespace) -> EvaluationResult:
    """Of the run's model; kept beside it, as long as the model is the same."""
    kept = folder / "overlap.jsonl"
    if kept.is_file() and kept.stat().st_mtime > (folder / "model" / "model.safetensors").stat().st_mtime:
        return EvaluationResult.read(kept)
    return gancore.evaluate(folder, n=given.n, data_root=given.data_root, out=kept)


def published(columns: Sequence[str]) -> Iterator[TableRow]:
    for name, values in PUBLISHED.items():
        yield TableRow(f"published: {name}", [values.get(column) for column in columns])


def print_table(table: Table) -> None:
    rows = [*table.reference, *table.rows, *published(table.columns)]
    print(f"| | {' | '.join(table.columns)} |\n|---|{'---|' * len(table.columns)}")
    for row in rows:
        print(f"| {row.name.strip()} | {' | '.join(map(format_figure, row.values))} |")
    print(f"\n{table.note}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--recipes", nargs="*", default=[], help="recipes to train")
    parser.add_argument("--runs", nargs="*", type=Path, default=[], help="folders of runs that are there")
    parser.add_argument("--budget", default="2m", help="time of each training; fitted models take less")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--split", choices=("drawn", "published"), default="published")
    parser.add_argument("-n", type=int, default=16, help="samples of each model")
    parser.add_argument("--data-root", type=Path)
    given = parser.parse_args()
    done = {path.name: path for path in sorted(given.out.glob("*")) if (path / "model").is_dir()}
    folders = done | {recipe: train(recipe, given.out / recipe, given) for recipe in given.recipes}
    folders |= {path.name: path for path in given.runs}
    results = {name: evaluate(folder, given) for name, folder in folders.items()}
    [table] = [one for one in merge_tables({n: r.tables for n, r in results.items()}) if one.title == TITLE]
    print_table(table)


if __name__ == "__main__":
    main()
