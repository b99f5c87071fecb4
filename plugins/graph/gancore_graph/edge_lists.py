"""Edge lists: a pair of nodes a line, by commas, semicolons, tabs or spaces; further columns are left out."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gancore.errors import DataError
from gancore.text import count_noun, short_repr
from gancore_graph.graph import Arcs, Ints, number_names

COMMENTS = ("#", "%", "//")
DELIMITERS = (",", ";", "\t")
HEADINGS = frozenset(
    {
        "source",
        "target",
        "src",
        "dst",
        "from",
        "to",
        "u",
        "v",
        "id1",
        "id2",
        "node1",
        "node2",
        "node_1",
        "node_2",
    }
)
_LINE_ENDS = re.compile(r"\r\n|\n|\r")


def read_edge_list(text: str, name: str, nodes: int | None = None) -> Arcs:
    """Pairs of ids, which are numbers or any text without the delimiter. A line of one id is a node.

    Comments are whole lines that begin with ``#``, ``%`` or ``//``. A first line of headings is skipped. If
    ``nodes`` is given, ids are 0 to nodes - 1.

    Raises:
        DataError: no line has two ids, or an id is not below ``nodes``.
    """
    lines = _LINE_ENDS.split(text)
    rows = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    data = [(number, line.strip()) for number, line in rows if not line.lstrip().startswith(COMMENTS)]
    if not data:
        raise DataError(f"{name} has no edges", "give a pair of nodes a line")
    delimiter = next((d for d in DELIMITERS if any(d in line for _, line in data[:10])), None)
    fields = [[part.strip() for part in line.split(delimiter)] for _, line in data]
    notes = []
    if _is_heading(fields):
        notes.append(f"line {data[0][0]}: headings {', '.join(fields[0][:2])}")
        fields, data = fields[1:], data[1:]
    for (number, line), parts in zip(data, fields, strict=True):
        if not parts[0] or (len(parts) > 1 and not parts[1]):
            raise DataError(
                f"{name}, line {number:,}: {short_repr(line)} is no pair of nodes", "fix the line"
            )
    if skipped := len(rows) - len(data) - len(notes):
        notes.append(f"comments: {count_noun(skipped, 'line')}")
    if extra := sum(len(parts) > 2 for parts in fields):
        notes.append(f"columns after the second (weights, times): left out in {count_noun(extra, 'line')}")
    singles = [parts[0] for parts in fields if len(parts) == 1]
    if singles:
        notes.append(f"nodes without an edge on their line: {len(singles):,}")
    pairs = [(parts[0], parts[1]) for parts in fields if len(parts) > 1]
    names, numbers = _number(pairs, singles)
    return _with_nodes(Arcs(numbers, names, None, notes), name, nodes)


def _is_heading(fields: Sequence[Sequence[str]]) -> bool:
    first = [part.strip('"').lower() for part in fields[0][:2]]
    if set(first) <= HEADINGS and len(first) == 2 and first[0] != first[1]:
        return len(fields) > 1
    rest = fields[1:50]
    numeric = bool(rest) and all(_is_integer(part) for row in rest for part in row[:2])
    return numeric and not any(_is_integer(part) for part in fields[0][:2])


def _is_integer(text: str) -> bool:
    return bool(re.fullmatch(r"[+-]?\d+", text))


def _number(pairs: Sequence[tuple[str, str]], singles: Sequence[str]) -> tuple[NDArray[np.generic], Ints]:
    """The names of the nodes, as int64 where all are written as such, and the numbers of the pairs."""
    flat = [part for pair in pairs for part in pair] + list(singles)
    try:
        numbers_of_ids = list(map(int, flat))
        if list(map(str, numbers_of_ids)) != flat:  # 1_2 and 12, 07 and 7 are different nodes
            raise ValueError
        ids: NDArray[np.generic] = np.array(numbers_of_ids, dtype=np.int64)
    except (ValueError, OverflowError):
        ids = np.array(flat)
    names, numbers = number_names(ids)
    return names, numbers[: 2 * len(pairs)].reshape(-1, 2)


def _with_nodes(arcs: Arcs, name: str, nodes: int | None) -> Arcs:
    """With all of the nodes 0 to ``nodes`` - 1."""
    if nodes is None:
        return arcs
    if arcs.names.dtype.kind != "i":
        raise DataError(f"{name}: ids are texts, and data.nodes counts numbers", "leave out data.nodes")
    ids = arcs.names.astype(np.int64)
    if len(ids) and not (ids[0] >= 0 and ids[-1] < nodes):
        wrong = int(ids[0] if ids[0] < 0 else ids[-1])
        raise DataError(f"{name}: the id {wrong:,} is not below data.nodes={nodes}", "raise data.nodes")
    return Arcs(ids[arcs.pairs], np.arange(nodes), arcs.directed, arcs.notes)
