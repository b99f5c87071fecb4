"""Open a source: one graph with held-out edges, or a set of graphs that is divided; and say what was done."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from gancore import Data, Source, Spec
from gancore.data import SPLITS, Split, assign_splits
from gancore.errors import ConfigError, DataError
from gancore.text import count_noun, escape_unprintable
from gancore_graph.breadth_first import find_bandwidth
from gancore_graph.canonical import GraphView
from gancore_graph.config import GraphConfig
from gancore_graph.files import read_content
from gancore_graph.graph import Graph, Ints, adjacency, largest_component, make_graph
from gancore_graph.layout import find_layout
from gancore_graph.matrices import load_arrays
from gancore_graph.sources import GraphSource, resolve_graphs
from gancore_graph.splits import LinkSplit, draw_split, published_split

_FORMAT = 1
MOST_NAMED = 20_000
"""Held-out edges, or graphs of a set, that a run stores by name."""


def open_graph(source: Source, config: GraphConfig) -> Data:
    """Raises DataError if no graph can be used."""
    found = resolve_graphs(source, config)
    refuse = config.directed == "refuse"
    if len(found.arcs) == 1:
        graph = make_graph(found.arcs[0], source.name, refuse)
        return _open_one(graph, found, source, config)
    graphs = [make_graph(arcs, name, refuse) for arcs, name in zip(found.arcs, found.names, strict=True)]
    return _open_set(graphs, found, source, config)


def _open_one(graph: Graph, found: GraphSource, source: Source, config: GraphConfig) -> Data:
    """Rows are nested: train, train with the edges of valid, and all edges; each split has one row."""
    if config.largest_component:
        graph = largest_component(graph)
    split = _split(graph, found, source, config)
    rows = [split.train, np.concatenate([split.train, split.valid]), graph.edges]
    train, valid, test = (GraphView([(_ordered(edges), graph.nodes)], len(graph.edges)) for edges in rows)
    held = {"valid": _names(split.valid), "test": _names(split.test)}
    return Data(
        train,
        valid,
        test,
        spec=_spec(graph, split, source),
        summary=[*_summary(graph, split, source, config), *found.notes],
        fingerprint=_digest([graph.edges, *_arrays(split)], graph.nodes),
        splits=held if len(split.valid) + len(split.test) <= MOST_NAMED else {},
    )


def _split(graph: Graph, found: GraphSource, source: Source, config: GraphConfig) -> LinkSplit:
    if config.split == "drawn":
        return draw_split(graph, config)
    if found.split_file is None:
        raise ConfigError(f"{source.name} has no published split", "set data.split=drawn")
    if not found.split_file.is_file():
        raise DataError(f"{found.split_file} is missing", "set data.split=drawn")
    name = found.split_file.name
    return published_split(graph, load_arrays(read_content(found.split_file), name), name)


def _names(edges: Ints) -> list[str]:
    return [f"{u}-{v}" for u, v in edges.tolist()]


def _ordered(edges: Ints) -> Ints:
    return edges[np.lexsort((edges[:, 1], edges[:, 0]))]


def _arrays(split: LinkSplit) -> list[Ints]:
    return [split.train, split.valid, split.test, split.valid_non_edges, split.test_non_edges]


def _spec(graph: Graph, split: LinkSplit, source: Source) -> Spec:
    degrees = np.bincount(split.train.ravel(), minlength=graph.nodes)
    tensors = {
        "valid_edges": split.valid,
        "valid_non_edges": split.valid_non_edges,
        "test_non_edges": split.test_non_edges,
        "degree_counts": np.bincount(degrees),
    }
    fields = _fields(source, 1, graph.nodes, len(graph.edges))
    fields["train_edges"] = len(split.train)
    fields["bandwidth"] = find_bandwidth([Graph(split.train, graph.names)])
    if graph.names.dtype.kind == "i":
        tensors["node_ids"] = graph.names.astype(np.int64)
    else:
        fields["node_names"] = [str(name) for name in graph.names]
    made = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in tensors.items()}
    layout = find_layout(adjacency(split.train, graph.nodes))
    return Spec(fields, made if layout is None else {**made, "layout": torch.from_numpy(layout)})


def _fields(source: Source, graphs: int, nodes: int, edges: int) -> dict[str, object]:
    return {
        "source": source.name,
        "licence": source.entry.licence if source.entry else "",
        "graphs": graphs,
        "max_nodes": nodes,
        "max_edges": edges,
    }


def _summary(graph: Graph, split: LinkSplit, source: Source, config: GraphConfig) -> list[str]:
    licence = f", licence {source.entry.licence}" if source.entry else ""
    isolated = int((graph.degrees() == 0).sum())
    drawn = "published" if config.split == "published" else f"by seed {config.seed}, train stays connected"
    return [
        f"data: {source.name}, one graph, {graph.nodes:,} nodes, {len(graph.edges):,} edges{licence}",
        *graph.notes,
        *([f"isolated nodes: {isolated:,}, kept"] if isolated else []),
        f"splits: {len(split.train):,} edges train, {len(split.valid):,} valid, {len(split.test):,} test "
        f"({drawn}); as many pairs that are no edges",
        *split.notes,
    ]


def _open_set(graphs: Sequence[Graph], found: GraphSource, source: Source, config: GraphConfig) -> Data:
    """The set's own splits, else graphs are divided by their content, so that equal ones are in one split."""
    own = sorted({split for split in found.splits if split})
    if config.split == "published" and own in ([], ["train"]):
        raise ConfigError(f"{source.name} has no published split", "set data.split=drawn")
    digests = [_digest([graph.edges], graph.nodes, config.seed) for graph in graphs]
    splits = _divide(digests, found.splits or [None] * len(graphs), config)
    members = {name: [n for n, placed in enumerate(splits) if placed == name] for name in SPLITS}
    left_out = [found.names[n] for n, placed in enumerate(splits) if placed is None]
    kept = [graph for graph, placed in zip(graphs, splits, strict=True) if placed]
    most = max(len(graph.edges) for graph in kept)
    train, valid, test = (
        GraphView([(graphs[n].edges, graphs[n].nodes) for n in rows], most) for rows in members.values()
    )
    spec = _set_spec([graphs[n] for n in members["train"]], kept, source)
    named = {str(name): [found.names[n] for n in rows] for name, rows in members.items()}
    lines = [*_set_summary(kept, source), _splits_line(members, own), *_left_out_lines(left_out)]
    return Data(
        train,
        valid,
        test,
        spec=spec,
        summary=[*lines, *_span_lines(spec), *found.notes],
        fingerprint=_digest([graph.edges for graph in graphs], *[g.nodes for g in graphs], *splits),
        splits=named if len(kept) <= MOST_NAMED else {},
    )


def _divide(digests: Sequence[str], own: Sequence[Split | None], config: GraphConfig) -> list[Split | None]:
    """The split of each graph: the set's ``own``, else by content. None: an equal graph is held out.

    Own graphs of valid and test replace the shares that would be drawn for them.

    Raises:
        DataError: too few graphs differ.
    """
    test = {digest for digest, split in zip(digests, own, strict=True) if split == "test"}
    valid = {digest for digest, split in zip(digests, own, strict=True) if split == "valid"} - test
    shares = (
        1 - config.valid_fraction - config.test_fraction,
        0.0 if valid else config.valid_fraction,
        0.0 if test else config.test_fraction,
    )
    rest = sorted(set(digests) - valid - test)
    drawn = dict(zip(rest, assign_splits(rest, shares), strict=True))
    held = {**dict.fromkeys(valid, "valid"), **dict.fromkeys(test, "test")}
    return [
        split if split and split == held.get(digest) else drawn.get(digest)
        for digest, split in zip(digests, own, strict=True)
    ]


def _set_spec(train: Sequence[Graph], graphs: Sequence[Graph], source: Source) -> Spec:
    """Sizes of all graphs, and laws of those of train."""
    nodes, edges = max(graph.nodes for graph in graphs), max(len(graph.edges) for graph in graphs)
    fields = _fields(source, len(train), nodes, edges)
    fields["bandwidth"] = find_bandwidth(train)
    degrees = np.concatenate([graph.degrees() for graph in train])
    counts = {"degree_counts": degrees, "node_counts": np.array([graph.nodes for graph in train])}
    return Spec(fields, {name: torch.from_numpy(np.bincount(of)) for name, of in counts.items()})


def _span_lines(spec: Spec) -> list[str]:
    if spec["bandwidth"] is None:
        return []
    return [f"breadth-first orders of train: an edge spans at most {spec['bandwidth']} places"]


def _set_summary(graphs: Sequence[Graph], source: Source) -> list[str]:
    licence = f", licence {source.entry.licence}" if source.entry else ""
    sizes = sorted(graph.nodes for graph in graphs)
    notes = Counter(note.partition(":")[0] for graph in graphs for note in graph.notes)
    return [
        f"data: {source.name}, {count_noun(len(graphs), 'graph')}{licence}",
        f"nodes: {sizes[0]} to {sizes[-1]}, median {sizes[len(sizes) // 2]}; edges: at most "
        f"{max(len(graph.edges) for graph in graphs):,}",
        "graphs are undirected, without loops and weights; said of them: "
        + ", ".join(f"{name} ({count:,} graphs)" for name, count in notes.items()),
    ]


def _splits_line(members: Mapping[Split, Sequence[int]], own: Sequence[Split]) -> str:
    counts = ", ".join(f"{len(rows):,} {split}" for split, rows in members.items())
    return f"splits: {counts}" + (f"; the set's own: {', '.join(own)}" if own else ", by content")


def _left_out_lines(names: Sequence[str]) -> list[str]:
    if not names:
        return []
    shown = escape_unprintable(names[0])
    return [f"left out: {count_noun(len(names), 'graph')}, an equal graph is held out (first: {shown})"]


def _digest(arrays: Sequence[Ints], *words: object) -> str:
    made = hashlib.sha256(repr((_FORMAT, words)).encode())
    for array in arrays:
        made.update(f"{len(array)};".encode())
        made.update(np.ascontiguousarray(array, dtype=np.int64).tobytes())
    return made.hexdigest()[:24]
