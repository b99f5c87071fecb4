"""The sources of graphs: named data sets, files and folders, the built-in graph, and generated sets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import networkx
import numpy as np

from gancore import Source, SourceEntry
from gancore.data import Split, first_skipped, list_files, other_suffix_lines, read_npy, splits_of_files
from gancore.errors import ConfigError, DataError
from gancore.text import escape_unprintable
from gancore_graph.config import Format, GraphConfig
from gancore_graph.edge_lists import DELIMITERS, read_edge_list
from gancore_graph.files import KINDS, decode_text, file_kind, is_table, read_content
from gancore_graph.generated_sets import DEFAULT_COUNT, DRAWS, draw_set
from gancore_graph.graph import Arcs, require_edges
from gancore_graph.graphml import read_graphml
from gancore_graph.matrices import read_array, read_matrix_market, read_npz, read_table
from gancore_graph.memory import edge_array
from gancore_graph.tu_sets import find_tu_set, read_tu_set

_GUST = "https://github.com/shchur/gnn-benchmark"
_TU = "https://chrsmrrs.github.io/datasets"


def _named(name: str, summary: str, homepage: str, folder: str = "") -> SourceEntry:
    licence = "the repository it comes from: MIT; the data: none stated"
    return SourceEntry(name, summary, licence, homepage=homepage, folder=folder or f"graph_{name}")


SOURCES: Mapping[str, SourceEntry] = {
    entry.name: entry
    for entry in (
        SourceEntry("les_miserables", "who meets whom in the novel, 77 nodes, 254 edges", "BSD-3-Clause"),
        _named(
            "cora_ml",
            "citations of papers on machine learning, 2,810 nodes, 7,981 edges",
            "https://github.com/danielzuegner/netgan",
        ),
        _named("citeseer", "citations, 2,110 nodes, 3,668 edges", _GUST),
        _named("cora", "citations, 2,485 nodes, 5,069 edges", _GUST),
        _named(
            "polblogs",
            "links of political blogs, 1,222 nodes, 16,714 edges",
            "https://github.com/danielzuegner/nettack",
        ),
        _named("pubmed", "citations, 19,717 nodes, 44,324 edges", _GUST),
        SourceEntry("planar", "1,000 graphs of triangulated points, planar, 64 nodes", "generated"),
        SourceEntry("sbm", "1,000 graphs of two to five blocks, 40 to 200 nodes", "generated"),
        _named("enzymes", "600 graphs of enzymes, a TU set", _TU, "graph_tu"),
        _named("proteins", "1,113 graphs of proteins, a TU set", _TU, "graph_tu"),
    )
}
FILES: Mapping[str, str] = {
    **{name: f"{name}.npz" for name in ("cora_ml", "citeseer", "cora", "polblogs", "pubmed")},
    "enzymes": "ENZYMES",
    "proteins": "PROTEINS_full",
}
"""The file, or folder, of a named set in its folder."""
SPLIT_FILES: Mapping[str, str] = {"cora_ml": "netgan_link_prediction_split.npz"}
MOST_GRAPHS = 1_000_000
DOCUMENTS = frozenset({"readme", "license", "licence", "copying", "citation", "changelog"})
"""Names, without suffixes, of files that come with data and hold no graph."""


@dataclass(frozen=True)
class GraphSource:
    """Listed graphs with their names; of one graph, perhaps the file of a published split.

    ``splits``: those that the set itself gives its graphs, or None for each; empty: it gives none.
    """

    arcs: Sequence[Arcs]
    names: Sequence[str]
    split_file: Path | None = None
    notes: Sequence[str] = field(default=())
    splits: Sequence[Split | None] = ()


def resolve_graphs(source: Source, config: GraphConfig) -> GraphSource:
    """Raises DataError: it holds no graph; ConfigError: ``graphs`` is set, and it is not generated."""
    if source.path is None and source.name in DRAWS:
        return GraphSource(*draw_set(source.name, config.graphs or DEFAULT_COUNT, config.seed))
    if config.graphs is not None:
        raise ConfigError(
            f"{source.name} is not generated, and data.graphs is of {' and '.join(DRAWS)}",
            "leave out data.graphs",
        )
    if source.path is None:
        return GraphSource([_les_miserables()], [source.name])
    path, split_file = source.path, None
    if source.entry is not None:
        split_file = path / SPLIT_FILES[source.name] if source.name in SPLIT_FILES else None
        path = path / FILES[source.name]
        if not path.exists():
            raise DataError(
                f"{source.path} has no {path.name}", f"get it from {source.entry.homepage}, or name a file"
            )
    if not path.is_dir():
        return GraphSource([read_file(path, config)], [path.name], split_file)
    if prefix := find_tu_set(path):
        return GraphSource(*read_tu_set(path, prefix))
    return _read_folder(path, config)


def _read_folder(path: Path, config: GraphConfig) -> GraphSource:
    """Each file of a graph is one of a set; a folder with one of them is that graph.

    Files that cannot be read or have no edges, documents such as ``README.txt``, and other kinds are named in
    the notes.
    """
    listing = list_files(path)
    found = [name for name in listing.names if file_kind(Path(name)) is not None]
    if len(found) > MOST_GRAPHS:
        raise DataError(f"{path.name} holds {len(found):,} graphs", f"give at most {MOST_GRAPHS:,}")
    arcs, names, skipped = [], [], list(listing.skipped)
    for name in found:
        if Path(name).name.partition(".")[0].lower() in DOCUMENTS:
            skipped.append((name, "it is named as a document, not as a graph"))
            continue
        try:
            listed = read_file(path / name, config)
            require_edges(listed, escape_unprintable(Path(name).name))
            arcs.append(listed)
            names.append(name)
        except DataError as error:
            skipped.append((name, error.message))
    left = set(listing.names) - set(found)
    others = other_suffix_lines(Counter(Path(name).suffix.lower() for name in left))
    if not arcs:
        why = first_skipped(skipped) if skipped else "".join(others)
        why = f": {why}" if why else ""
        raise DataError(
            f"no file of a graph in {escape_unprintable(str(path))} can be read{why}",
            f"give one of {', '.join(KINDS)}",
        )
    skipped_line = f"{len(skipped):,}, {first_skipped(skipped)}" if skipped else "none"
    notes = [*others, f"skipped: {skipped_line}"]
    return GraphSource(arcs, names, notes=notes, splits=splits_of_files(names))


def read_file(path: Path, config: GraphConfig) -> Arcs:
    """One graph. Raises DataError: it cannot be read as ``config.format`` says, or as its suffix does."""
    name = escape_unprintable(path.name)
    if path.suffix == ".npy" and config.format == "auto":
        return read_array(read_npy(path, "give a graph"), name)
    kind: Format | None = file_kind(path) if config.format == "auto" else config.format
    if kind is None:
        raise DataError(
            f"{name} has no suffix of a graph", f"name it by one of {', '.join(KINDS)}, or set data.format"
        )
    content = read_content(path)
    if kind == "npz":
        return read_npz(content, name)
    if kind == "mtx":
        return read_matrix_market(content, name)
    if kind == "graphml":
        return read_graphml(content, name)
    text = decode_text(content, name)
    if kind == "adjacency" or (config.format == "auto" and is_table(path) and _looks_square(text)):
        return read_table(text, name)
    return read_edge_list(text, name, config.nodes)


def _looks_square(text: str) -> bool:
    """Whether a table has more than three columns, and about as many rows: edges have two or three."""
    lines = [line for line in text.splitlines() if line.strip()]
    delimiter = next((d for d in DELIMITERS if lines and d in lines[0]), None)
    columns = len(lines[0].split(delimiter)) if lines else 0
    return columns > 3 and columns - 1 <= len(lines) <= columns + 1


def _les_miserables() -> Arcs:
    """Characters of a novel and their meetings (Knuth 1993), without weights."""
    graph = networkx.les_miserables_graph()
    return Arcs(edge_array(graph), np.array(list(graph.nodes)), False)
