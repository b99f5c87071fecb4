"""Shares of valid, unique and novel graphs of a set, by their Weisfeiler-Lehman hash.

Graphs that are the same but for the order of their nodes always have the same hash. Some different ones have
it too, above all regular graphs of one degree, as a cycle of six nodes and two triangles. So the shares of
unique and of novel graphs are lower bounds, and exact for graphs whose nodes the refinement distinguishes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import networkx as nx
import torch
from torch import Tensor

from gancore import Interval, Metric, MetricInputs
from gancore.metrics import Control, block_jackknife, clopper_pearson, drop_blocks
from gancore_graph.block_test import is_block_graph
from gancore_graph.graph import Graph
from gancore_graph.memo import Memo, digest_graph
from gancore_graph.set_histograms import graphs_of
from gancore_graph.set_metrics import count_blocks
from gancore_graph.statistics import component_sizes

ROUNDS = 5
"""Refinements: a hash sees all that is within five steps of a node."""

_HASHES: Memo[str] = Memo(50_000)
_HELD: Memo[bool] = Memo(50_000)
_REQUIRED: Memo[tuple[str, ...]] = Memo(4)


def to_networkx(graph: Graph) -> nx.Graph:
    made: nx.Graph = nx.empty_graph(graph.nodes)
    made.add_edges_from(graph.edges.tolist())
    return made


def weisfeiler_lehman_hash(graph: Graph) -> str:
    """Of the graph without labels; nodes begin with their degree. Kept by the graph's content."""

    def compute() -> str:
        made = to_networkx(graph)
        nx.set_node_attributes(made, dict(made.degree()), "degree")
        return str(nx.weisfeiler_lehman_graph_hash(made, node_attr="degree", iterations=ROUNDS))

    return _HASHES.get(digest_graph(graph.edges, graph.nodes), compute)


CHECKS: Mapping[str, Callable[[Graph], bool]] = {
    "not empty": lambda graph: len(graph.edges) > 0,
    "connected": lambda graph: len(component_sizes(graph)) == 1,
    "without cycles": lambda graph: len(graph.edges) == graph.nodes - len(component_sizes(graph)),
    "planar": lambda graph: bool(nx.check_planarity(to_networkx(graph))[0]),
}
"""Properties that are required of samples if all graphs of train have them."""
OF_BLOCKS = "of two to five blocks"
SOURCE_CHECKS: Mapping[str, Mapping[str, Callable[[Graph], bool]]] = {"sbm": {OF_BLOCKS: is_block_graph}}
"""Further properties by the source: 1 % of the graphs of train fail the test of them by chance."""
_CHECKS = {**CHECKS, **{name: check for checks in SOURCE_CHECKS.values() for name, check in checks.items()}}


def holds(name: str, graph: Graph) -> bool:
    """Whether a graph has one of these properties; kept by its content."""
    return _HELD.get((name, digest_graph(graph.edges, graph.nodes)), lambda: _CHECKS[name](graph))


def required_properties(train: Sequence[Graph], source: str = "") -> tuple[str, ...]:
    """Those of :data:`CHECKS` that every graph of train has, and those of the source."""
    content = tuple(digest_graph(graph.edges, graph.nodes) for graph in train)
    of_train = _REQUIRED.get(
        content, lambda: tuple(name for name in CHECKS if all(holds(name, graph) for graph in train))
    )
    return (*of_train, *SOURCE_CHECKS.get(source, {}))


class Novelty(NamedTuple):
    """Of n samples, bool (n); ``kind`` int64 (n) is equal for graphs of one hash."""

    valid: Tensor
    novel: Tensor
    kind: Tensor


def assess(samples: Sequence[Graph], train: Sequence[Graph], source: str = "") -> Novelty:
    """Which samples are valid, which are novel, and which are one graph."""
    required = required_properties(train, source)
    known = {weisfeiler_lehman_hash(graph) for graph in train}
    hashes = [weisfeiler_lehman_hash(graph) for graph in samples]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(hashes))}
    return Novelty(
        torch.tensor([all(holds(name, graph) for name in required) for graph in samples]),
        torch.tensor([name not in known for name in hashes]),
        torch.tensor([numbers[name] for name in hashes]),
    )


def _assessed(inputs: MetricInputs) -> Novelty:
    """Of the samples, in an order drawn by the key."""
    order = inputs.fake.content_order()[(inputs.key / "fake").permutation(len(inputs.fake))]
    samples = graphs_of(inputs.fake.select(order).samples)
    return assess(samples, graphs_of(inputs.train.samples), str(inputs.spec.get("source", "")))


def unique_share(kind: Tensor) -> float:
    return len(set(kind.tolist())) / len(kind)


def unique_share_of(kind: Tensor, chosen: Tensor) -> float:
    """Different graphs among the chosen, over the number of all."""
    return len(set(kind[chosen].tolist())) / len(kind)


def _share_metric(
    name: str, kind: Literal["fidelity", "memory"], insensitive_to: frozenset[Control]
) -> Metric:
    """The share of ``valid`` or ``novel`` graphs."""

    def flags(inputs: MetricInputs) -> Tensor:
        found: Tensor = getattr(_assessed(inputs), name)
        return found

    def interval(inputs: MetricInputs) -> Interval:
        found = flags(inputs)
        return clopper_pearson(int(found.sum()), len(found))

    return Metric(
        lambda inputs: float(flags(inputs).double().mean()),
        "share",
        higher_is_better=True,
        interval=interval,
        details=_details,
        requires=frozenset({"train"}),
        kind=kind,
        insensitive_to=insensitive_to,
    )


def _count_metric(value: Callable[[Novelty], float], insensitive_to: frozenset[Control]) -> Metric:
    """A share of different graphs, which falls with the number of samples."""

    def interval(inputs: MetricInputs) -> Interval:
        found = _assessed(inputs)
        blocks = count_blocks(len(found.kind))

        def without(left_out: tuple[int, ...]) -> float:
            kept = (drop_blocks(part, left_out, blocks) if left_out else part for part in found)
            return value(Novelty(*kept))

        low, high, method = block_jackknife(without, blocks, "of the expectation at this n")
        return Interval(max(0.0, low), min(1.0, high), method)

    return Metric(
        lambda inputs: value(_assessed(inputs)),
        "share",
        higher_is_better=True,
        interval=interval,
        details=_details,
        requires=frozenset({"train"}),
        kind="diversity",
        insensitive_to=insensitive_to,
    )


def _details(inputs: MetricInputs) -> Mapping[str, Any]:
    found = _assessed(inputs)
    return {
        "valid": float(found.valid.double().mean()),
        "unique": unique_share(found.kind),
        "novel": float(found.novel.double().mean()),
        "valid graphs are": list(
            required_properties(graphs_of(inputs.train.samples), str(inputs.spec.get("source", "")))
        ),
    }


NOISE = frozenset[Control]({"noise"})
valid_graphs = _share_metric("valid", "fidelity", frozenset({"noise", "collapse"}))
novel_graphs = _share_metric("novel", "memory", frozenset({"noise", "collapse"}))
unique_graphs = _count_metric(lambda found: unique_share(found.kind), NOISE)
valid_unique_novel = _count_metric(
    lambda found: unique_share_of(found.kind, found.valid & found.novel), NOISE
)
