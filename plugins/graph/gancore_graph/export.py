"""Graphs as files: GraphML, edge lists, CSR arrays, objects of torch-geometric and networkx."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import quoteattr

import numpy as np
import torch
from numpy.typing import NDArray

from gancore import Samples, Spec
from gancore.errors import ConfigError
from gancore_graph.canonical import edges_of
from gancore_graph.graph import Ints, adjacency

if TYPE_CHECKING:
    import networkx

Names = NDArray[Any]
FORMATS: Mapping[str, str] = {
    "graphml": "XML, which networkx, igraph and Gephi read",
    "edges": "a pair of names a line",
    "npz": "CSR arrays",
}
"""Formats of files; those of :data:`WRITTEN` without a choice."""
WRITTEN = ("graphml", "edges")
SEPARATORS = re.compile(r"[\s,;]+")


def node_names(spec: Spec, nodes: int) -> Names:
    """What the source calls the nodes; of a set of graphs their numbers."""
    if spec["graphs"] == 1 and spec["max_nodes"] == nodes:
        if spec.get("node_names"):
            return np.array(spec["node_names"])
        if "node_ids" in spec:
            ids: Names = spec["node_ids"].cpu().numpy()
            return ids
    return np.arange(nodes)


def write_samples(samples: Samples, folder: Path, formats: Sequence[str] = WRITTEN) -> list[Path]:
    """A file of each of :data:`FORMATS` for each graph, named ``0001.graphml``, ...; returns every file.

    Raises:
        OSError: the folder cannot be written, or is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for row, stem in enumerate(samples.file_stems()):
        edges, nodes = edges_of(samples.data, row), int(samples.data["nodes"][row])
        names = node_names(samples.spec, nodes)
        for suffix in formats:
            path = folder / f"{stem}.{suffix}"
            path.write_bytes(ENCODERS[suffix](edges, names))
            paths.append(path)
    return paths


def to_edge_list(edges: Ints, names: Names) -> bytes:
    """A pair of names a line, between tabs; then nodes without edges, one a line, after a comment."""
    texts = distinct_texts(names)
    lines = [f"{texts[u]}\t{texts[v]}" for u, v in edges.tolist()]
    lonely = np.setdiff1d(np.arange(len(names)), edges)
    if len(lonely):
        lines += ["# nodes without edges", *(texts[node] for node in lonely.tolist())]
    return "".join(f"{line}\n" for line in lines or ["# no nodes"]).encode()


def distinct_texts(names: Names) -> list[str]:
    """Names without what would divide a line or begin a comment; a number is added to those that would become
    equal to another."""
    plain = [SEPARATORS.sub("_", str(name)).lstrip("#%/") or "_" for name in names.tolist()]
    taken, found = set(plain), []
    seen: Counter[str] = Counter()
    for text in plain:
        seen[text] += 1
        while seen[text] > 1 and f"{text}_{seen[text]}" in taken:
            seen[text] += 1
        found.append(text if seen[text] == 1 else f"{text}_{seen[text]}")
        taken.add(found[-1])
    return found


def to_graphml(edges: Ints, names: Names) -> bytes:
    """GraphML of an undirected graph; the ids are the names."""
    ids = [quoteattr(_printable(str(name))) for name in names.tolist()]
    lines = [f"<node id={name}/>" for name in ids]
    lines += [f"<edge source={ids[u]} target={ids[v]}/>" for u, v in edges.tolist()]
    head = '<?xml version="1.0" encoding="UTF-8"?>\n<graphml xmlns="http://graphml.graphdrawing.org/xmlns">\n'
    body = "\n".join(['<graph id="G" edgedefault="undirected">', *lines, "</graph>", "</graphml>", ""])
    return (head + body).encode()


def _printable(text: str) -> str:
    """Without characters that XML cannot hold."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def to_npz(edges: Ints, names: Names) -> bytes:
    """CSR arrays as of NetGAN (``adj_data``, ``adj_indices``, ``adj_indptr``, ``adj_shape``), and names."""
    matrix = adjacency(edges, len(names))
    file = io.BytesIO()
    np.savez_compressed(
        file,
        adj_data=matrix.data,
        adj_indices=matrix.indices,
        adj_indptr=matrix.indptr,
        adj_shape=np.array(matrix.shape),
        node_names=names,
    )
    return file.getvalue()


def to_pyg(edges: Ints, nodes: int) -> Any:
    """``torch_geometric.data.Data`` with both directions of each edge. Raises ConfigError: not installed."""
    try:
        from torch_geometric.data import Data
    except ImportError:
        raise ConfigError("torch-geometric is not installed", "pip install torch-geometric") from None
    pairs = torch.from_numpy(edges).T
    return Data(edge_index=torch.cat([pairs, pairs.flip(0)], 1), num_nodes=nodes)


def to_networkx(edges: Ints, names: Names) -> networkx.Graph[Any]:
    """``networkx.Graph`` with the names as nodes."""
    import networkx

    graph: networkx.Graph[Any] = networkx.Graph()
    graph.add_nodes_from(names.tolist())
    graph.add_edges_from(zip(names[edges[:, 0]].tolist(), names[edges[:, 1]].tolist(), strict=True))
    return graph


def networkx_graphs(samples: Samples) -> list[networkx.Graph[Any]]:
    """Each sample as a graph of networkx."""
    rows = (edges_of(samples.data, row) for row in range(len(samples)))
    nodes = samples.data["nodes"].tolist()
    return [to_networkx(edges, node_names(samples.spec, n)) for edges, n in zip(rows, nodes, strict=True)]


def pyg_data(samples: Samples) -> list[Any]:
    """Each sample as ``torch_geometric.data.Data``. Raises ConfigError: it is not installed."""
    rows = (edges_of(samples.data, row) for row in range(len(samples)))
    return [to_pyg(edges, n) for edges, n in zip(rows, samples.data["nodes"].tolist(), strict=True)]


ENCODERS: Mapping[str, Callable[[Ints, Names], bytes]] = {
    "graphml": to_graphml,
    "edges": to_edge_list,
    "npz": to_npz,
}
