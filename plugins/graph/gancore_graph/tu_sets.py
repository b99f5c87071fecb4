"""TU data sets: many small graphs in text files, one list of edges and the graph of each node."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gancore.errors import DataError
from gancore_graph.files import decode_text, read_content
from gancore_graph.graph import Arcs, Ints

_EDGES, _GRAPHS = "_A.txt", "_graph_indicator.txt"


def find_tu_set(folder: Path) -> str:
    """The prefix of the files of a TU set in a folder; empty: there is none."""
    names = sorted(path.name.removesuffix(_EDGES) for path in folder.glob(f"*{_EDGES}"))
    return next((name for name in names if (folder / f"{name}{_GRAPHS}").is_file()), "")


def read_tu_set(folder: Path, prefix: str) -> tuple[list[Arcs], list[str]]:
    """The graphs in order, and their names ``PREFIX-1``, ... Labels and attributes are not read.

    Raises:
        DataError: a file is damaged, an edge joins two graphs, or names no node.
    """
    graph_of = _integers(folder / f"{prefix}{_GRAPHS}", 1)[:, 0]
    pairs = _integers(folder / f"{prefix}{_EDGES}", 2) - 1
    if pairs.size and not (pairs.min() >= 0 and pairs.max() < len(graph_of)):
        raise DataError(
            f"{prefix}{_EDGES} names a node that {prefix}{_GRAPHS} has not", "get the files again"
        )
    if (graph_of[pairs[:, 0]] != graph_of[pairs[:, 1]]).any() or (np.diff(graph_of) < 0).any():
        raise DataError(
            f"{prefix}: an edge joins two graphs, or nodes are not in order", "get the files again"
        )
    numbers, first, counts = np.unique(graph_of, return_index=True, return_counts=True)
    order = np.argsort(graph_of[pairs[:, 0]], kind="stable")
    pairs = pairs[order]
    edges = np.searchsorted(graph_of[pairs[:, 0]], numbers)
    graphs = [
        Arcs(part - start, np.arange(count))
        for part, start, count in zip(np.split(pairs, edges[1:]), first, counts, strict=True)
    ]
    return graphs, [f"{prefix}-{number}" for number in numbers]


def _integers(path: Path, columns: int) -> Ints:
    """(rows, columns) of a file of integers. Raises DataError."""
    text = decode_text(read_content(path), path.name)
    try:
        numbers: NDArray[np.int64] = np.array(text.replace(",", " ").split(), dtype=np.int64)
        return numbers.reshape(-1, columns)
    except (ValueError, OverflowError):
        raise DataError(
            f"{path.name} is no list of {columns} integers a line", "get the file again"
        ) from None
