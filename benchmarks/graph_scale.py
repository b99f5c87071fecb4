"""A large graph from end to end: walks, training, generated walks, graphs, statistics; seconds and memory.

    python benchmarks/graph_scale.py --nodes 10000 100000 1000000 --out /var/tmp/scale
    python benchmarks/graph_scale.py --out /var/tmp/scale --picture docs/graph-large.svg

A power-law graph of six edges a node is made. Each stage is a process of its own on one thread, whose
processor seconds and largest resident memory are printed and kept in the folder: stages that are there are
not run again. ``--picture``: a chart of all sizes in the folder.

- real walks: five walks of 16 nodes for each node, counted
- training: ``cell`` with the softmax in two levels, 200 steps
- walks: 100,000 walks of 16 nodes of the model, counted
- assembly: a graph of half of the counted pairs (every node that was counted is covered)
- graph: a graph of all edges, drawn from the model
- statistics: all of the domain, of the real graph and of the drawn one, and the overlap of their edges
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gancore_graph.assembly import assemble
from gancore_graph.canonical import GraphView, keys_of
from gancore_graph.cell_config import CellConfig
from gancore_graph.counts import PairCounts
from gancore_graph.large_cell import LargeCellModel
from gancore_graph.memo import as_graph
from gancore_graph.statistic_metrics import KNOWN_STATISTICS
from gancore_graph.walks import Walker
from power_law import power_law_graph

from gancore import Spec
from gancore.random import Key

LENGTH, BATCH, EDGES_A_NODE = 16, 200_000, 6
STEPS, GENERATED = 200, 100_000


def read_edges(folder: Path, name: str = "edges") -> torch.Tensor:
    return torch.from_numpy(np.load(folder / f"{name}.npy"))


def make_graph(folder: Path, nodes: int) -> dict[str, Any]:
    edges = power_law_graph(nodes, EDGES_A_NODE * nodes)
    np.save(folder / "edges.npy", edges)
    return {"edges": len(edges), "largest degree": int(np.bincount(edges.ravel()).max())}


def count_real_walks(folder: Path, nodes: int) -> dict[str, Any]:
    walker = Walker(read_edges(folder), nodes)
    counts = PairCounts.empty(nodes, torch.device("cpu"))
    wanted, walking, began = 5 * nodes, 0.0, time.process_time()
    for start in range(0, wanted, BATCH):
        count, key = min(BATCH, wanted - start), Key.of("walks", start)
        at = time.process_time()
        walks = walker.uniform((key / "first").integers(nodes, count), LENGTH, key / "walk")
        walking += time.process_time() - at
        counts = counts.add_walks(walks)
    total = time.process_time() - began
    return {"walks": wanted, "pairs": len(counts.keys), "walking": walking, "counting": total - walking}


def spec_of(folder: Path, nodes: int) -> tuple[Spec, torch.Tensor]:
    edges = read_edges(folder)
    return Spec({"graphs": 1, "max_nodes": nodes, "max_edges": len(edges)}), edges


def train(folder: Path, nodes: int) -> dict[str, Any]:
    spec, edges = spec_of(folder, nodes)
    model = LargeCellModel(spec, CellConfig(overlap=1.0))
    views = {"train": GraphView([(edges.numpy(), nodes)], len(edges))}
    for step in range(STEPS):
        model.fit(views, Key.of("fit", step))
    torch.save(model.state_dict(), folder / "model.pt")
    some = edges[Key.of("some").permutation(len(edges))[:100_000]]
    return {"nats a step": model.cost(some), "of a uniform step": float(np.log(nodes))}


def load_model(folder: Path, nodes: int) -> LargeCellModel:
    model = LargeCellModel(spec_of(folder, nodes)[0], CellConfig(overlap=1.0))
    model.load_state_dict(torch.load(folder / "model.pt", weights_only=True))
    return model


def generate_walks(folder: Path, nodes: int) -> dict[str, Any]:
    walks = load_model(folder, nodes).walks(GENERATED, LENGTH, Key.of("generated"))
    counts = PairCounts.empty(nodes, walks.device).add_walks(walks)
    np.savez(folder / "counts.npz", keys=counts.keys.numpy(), counts=counts.counts.numpy())
    own = keys_of(read_edges(folder), nodes)
    steps = keys_of(walks.unfold(1, 2, 1).reshape(-1, 2), nodes)
    return {"pairs": len(counts.keys), "steps that are edges": float(torch.isin(steps, own).double().mean())}


def assemble_graph(folder: Path, nodes: int) -> dict[str, Any]:
    stored = np.load(folder / "counts.npz")
    counts = PairCounts(torch.from_numpy(stored["keys"]), torch.from_numpy(stored["counts"]), nodes)
    pairs = counts.pairs
    edges = assemble(pairs, counts.counts.double().log(), nodes, len(pairs) // 2, Key.of("assembly"))
    return {"edges": len(edges), "nodes covered": len(edges.unique()), "nodes counted": len(pairs.unique())}


def draw_graph(folder: Path, nodes: int) -> dict[str, Any]:
    edges, _ = load_model(folder, nodes).draw(Key.of("graph"))
    np.save(folder / "drawn.npy", edges.numpy())
    overlap = torch.isin(keys_of(read_edges(folder), nodes), keys_of(edges, nodes)).double().mean()
    return {"edges": len(edges), "overlap": float(overlap)}


def find_statistics(folder: Path, nodes: int) -> dict[str, Any]:
    graphs = {name: as_graph(np.load(folder / f"{name}.npy"), nodes) for name in ("edges", "drawn")}
    found: dict[str, Any] = {}
    for name, statistic in KNOWN_STATISTICS.items():
        began = time.process_time()
        values = [statistic.of(graph, graphs["edges"]) for graph in graphs.values()]
        found[name] = [*values, round(time.process_time() - began, 2)]
    return {"real, drawn, seconds of both": found}


STAGES: Mapping[str, Callable[[Path, int], dict[str, Any]]] = {
    "graph made": make_graph,
    "real walks": count_real_walks,
    "training": train,
    "walks": generate_walks,
    "assembly": assemble_graph,
    "graph": draw_graph,
    "statistics": find_statistics,
}


def run_stage(name: str, folder: Path, nodes: int) -> None:
    """In a process of its own; its figures go to a file of the folder."""
    torch.set_num_threads(1)
    began, clock = time.process_time(), time.perf_counter()
    found = STAGES[name](folder, nodes)
    figures = {
        "seconds": time.process_time() - began,
        "wall": time.perf_counter() - clock,
        "memory": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        **found,
    }
    (folder / f"{name}.json").write_text(json.dumps(figures, indent=1))


def run_size(nodes: int, out: Path) -> None:
    folder = out / str(nodes)
    folder.mkdir(parents=True, exist_ok=True)
    for name in STAGES:
        file = folder / f"{name}.json"
        if not file.is_file():
            words = ["--stage", name, "--nodes", str(nodes), "--out", str(out)]
            subprocess.run([sys.executable, __file__, *words], check=True)
        figures = json.loads(file.read_text())
        others = {k: v for k, v in figures.items() if k not in ("seconds", "wall", "memory")}
        print(
            f"{nodes:>9,} {name:11}{figures['seconds']:8.1f} s {figures['memory'] / 1e9:6.2f} GB  {others}",
            flush=True,
        )


def draw_picture(out: Path, picture: Path) -> None:
    """Seconds and memory of each stage against the number of nodes, on log scales."""
    from matplotlib.figure import Figure

    sizes = sorted(int(folder.name) for folder in out.iterdir() if folder.name.isdigit())
    figure = Figure(figsize=(9, 3.6), dpi=110, layout="constrained")
    axes = figure.subplots(1, 2)
    for name in STAGES:
        files = [(nodes, out / str(nodes) / f"{name}.json") for nodes in sizes]
        known = [(nodes, json.loads(file.read_text())) for nodes, file in files if file.is_file()]
        for part, axis, unit in (("seconds", axes[0], 1), ("memory", axes[1], 1e9)):
            x, y = [nodes for nodes, _ in known], [figures[part] / unit for _, figures in known]
            axis.plot(x, y, "o-", markersize=3, linewidth=1, label=name)
    axes[0].set_ylabel("processor seconds, one thread")
    axes[1].set_ylabel("largest memory of the process, GB")
    axes[0].set_yscale("log")
    axes[1].set_ylim(0, 8.5)
    for axis in axes:
        axis.set_xscale("log")
        axis.set_xlabel("nodes (six edges each)")
        axis.grid(alpha=0.3)
    axes[1].axhline(8, color="black", linewidth=0.8, linestyle="--")
    axes[0].legend(fontsize=7)
    figure.savefig(picture)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int, nargs="*", default=[])
    parser.add_argument("--out", type=Path, required=True, help="folder of graphs, models and figures")
    parser.add_argument("--stage", choices=STAGES, help="run one stage, here")
    parser.add_argument("--picture", type=Path, help="file of a chart of all sizes in the folder")
    given = parser.parse_args()
    if given.stage:
        run_stage(given.stage, given.out / str(given.nodes[0]), given.nodes[0])
        return
    for nodes in given.nodes:
        run_size(nodes, given.out)
    if given.picture:
        draw_picture(given.out, given.picture)


if __name__ == "__main__":
    main()
