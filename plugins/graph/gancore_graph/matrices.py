"""Adjacency matrices: CSR arrays in npz, MatrixMarket, tables of numbers, arrays in memory."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import mmread
from scipy.sparse import coo_array

from gancore.data import ARRAY_READ_ERRORS, total_memory_bytes
from gancore.errors import DataError
from gancore.text import format_size, short_repr
from gancore_graph.graph import Arcs

CSR_NAMES = (("adj_indptr", "adj_indices", "adj_shape"), ("indptr", "indices", "shape"))
"""Names of the arrays in the files of gust and NetGAN, and in those of ``scipy.sparse.save_npz``."""
_NPZ = "give CSR arrays (adj_indptr, adj_indices, adj_shape) saved without objects, or an edge list"


def load_arrays(content: bytes, name: str) -> Mapping[str, NDArray[Any]]:
    """The arrays of an npz; nothing is unpickled.

    Raises:
        DataError: it is no npz, too large, or an array holds objects.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > total_memory_bytes() // 4:
            raise DataError(f"{name} unpacks to {size / 1e9:,.0f} GB", "give a smaller graph")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return {key: arrays[key] for key in arrays.files}
    except ARRAY_READ_ERRORS as error:
        if "pickle" in str(error) or "Object arrays" in str(error):
            raise DataError(f"{name} holds pickled objects, which are not read", _NPZ) from None
        raise DataError(f"{name} is no npz file: {error}", _NPZ) from None


def read_npz(content: bytes, name: str) -> Arcs:
    """CSR arrays, or ``edges`` (count, 2), or ``edge_index`` (2, count). Raises DataError."""
    arrays = load_arrays(content, name)
    for names in CSR_NAMES:
        if all(key in arrays for key in names):
            indptr, indices, shape = (arrays[key] for key in names)
            return _from_csr(indptr, indices, shape, arrays.get("data", arrays.get("adj_data")), name)
    for key in ("edges", "edge_index"):
        if key in arrays:
            return read_array(arrays[key], f"{name}, {key}")
    held = ", ".join(list(arrays)[:6]) or "no arrays"
    raise DataError(f"{name} holds {held}, no graph", _NPZ)


def _from_csr(
    indptr: NDArray[Any], indices: NDArray[Any], shape: NDArray[Any], data: NDArray[Any] | None, name: str
) -> Arcs:
    """Raises DataError: these are no CSR arrays of a square matrix."""
    if any(a.dtype.kind not in "iu" or a.ndim != 1 for a in (indptr, indices, shape)) or len(shape) != 2:
        raise DataError(f"{name}: indptr, indices and shape are no lists of integers", _NPZ)
    indptr, indices = indptr.astype(np.int64), indices.astype(np.int64)  # of uint64, no step is negative
    rows, columns = map(int, shape)
    _require_square(rows, columns, name)
    ends = indptr[:1].tolist() + indptr[-1:].tolist()
    if len(indptr) != rows + 1 or ends != [0, len(indices)] or (np.diff(indptr) < 0).any():
        raise DataError(
            f"{name}: indptr does not divide the {len(indices):,} indices into {rows:,} rows", _NPZ
        )
    if len(indices) and not (indices.min() >= 0 and indices.max() < columns):
        wrong = int(indices.min() if indices.min() < 0 else indices.max())
        raise DataError(
            f"{name}: the column {wrong:,} is not in 0 to {columns - 1:,}", "save the matrix again"
        )
    pairs = np.stack([np.repeat(np.arange(rows), np.diff(indptr)), indices], 1)
    if data is not None and data.shape == (len(pairs),):
        pairs = pairs[data != 0]
    return Arcs(pairs, np.arange(rows), True)


def read_matrix_market(content: bytes, name: str) -> Arcs:
    """Coordinates or a dense array; values are left out, except that zeros are no edges.

    Raises:
        DataError: the header, the line of sizes or an entry is wrong, or it is too large.
    """
    _check_matrix_market(content, name)
    try:
        matrix = coo_array(mmread(io.BytesIO(content)))
    except (ValueError, OverflowError, TypeError, EOFError) as error:
        raise DataError(f"{name} cannot be read: {error}", "fix the file, or give an edge list") from None
    _require_square(matrix.shape[0], matrix.shape[1], name)
    kept = matrix.data != 0
    symmetric = b"symmetric" in content.split(b"\n", 1)[0].lower()
    pairs = np.stack([matrix.row[kept], matrix.col[kept]], 1).astype(np.int64)
    return Arcs(pairs, np.arange(1, matrix.shape[0] + 1), not symmetric)


def _check_matrix_market(content: bytes, name: str) -> None:
    lines = content.split(b"\n", 10_000)
    words = lines[0].lower().split()
    if len(words) < 4 or words[0] != b"%%matrixmarket":
        raise DataError(
            f"{name}, line 1 is no MatrixMarket header", "set data.format=edges if it is a list of edges"
        )
    at = next((n for n, line in enumerate(lines[1:], 2) if line.strip() and not line.startswith(b"%")), 0)
    numbers = lines[at - 1].split() if at else []
    wanted = 3 if words[2] == b"coordinate" else 2
    if len(numbers) != wanted or not all(number.isdigit() and len(number) <= 20 for number in numbers):
        shown = lines[at - 1].decode(errors="replace").strip() if at else ""
        raise DataError(
            f"{name}, line {at}: {short_repr(shown)} is not the {wanted} numbers of rows, columns"
            + (" and entries" if wanted == 3 else ""),
            "fix the line, or set data.format=edges if it is a list of edges",
        )
    rows, columns, *entries = map(int, numbers)
    _require_square(rows, columns, name)
    size = 8 * (rows + 3 * entries[0] if entries else rows * columns)  # names and entries; or a dense array
    if size > total_memory_bytes() // 4:
        raise DataError(
            f"{name}, line {at}, declares {rows:,} x {columns:,}"
            + (f" with {entries[0]:,} entries" if entries else "")
            + f": {format_size(size)}, which this machine cannot prepare",
            "fix the line, or give a smaller graph",
        )


def read_table(text: str, name: str) -> Arcs:
    """A square table of numbers by commas, semicolons, tabs or spaces, with names or without.

    Raises:
        DataError: it is not square, or holds something else than numbers.
    """
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        raise DataError(f"{name} has no rows", "give a square table")
    delimiter = next((d for d in (",", ";", "\t") if d in lines[0]), None)
    cells = [[cell.strip().strip('"') for cell in line.split(delimiter)] for line in lines]
    names = None
    if not all(map(_is_number, cells[0][1:])) or cells[0][0] == "":
        names, cells = cells[0], cells[1:]
        if cells and len(names) == len(cells[0]) and len(names) == len(cells) + 1:
            names, cells = names[1:], [row[1:] for row in cells]
    if not cells:
        raise DataError(f"{name} has a heading and no rows", "give a square table")
    widths = {len(row) for row in cells}
    if len(widths) != 1:
        raise DataError(
            f"{name}: its rows have {min(widths)} to {max(widths)} numbers", "give a square table"
        )
    _require_square(len(cells), widths.pop(), name)
    try:
        matrix = np.array(cells, dtype=np.float64)
    except ValueError as error:
        raise DataError(f"{name}: {error}", "give a square table of numbers") from None
    if not np.isfinite(matrix).all():
        raise DataError(f"{name} holds numbers that are not finite", "give 0 and 1")
    ids = np.arange(len(cells)) if names is None else np.array(names)
    return Arcs(np.argwhere(matrix != 0), ids, not bool((matrix == matrix.T).all()))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def read_array(array: NDArray[Any], name: str) -> Arcs:
    """Edges (count, 2) or (2, count) of integers, or a square matrix of more than two rows.

    Raises:
        DataError: it is something else.
    """
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        raise DataError(f"{name} has shape {array.shape}", "give edges (count, 2) or a square matrix")
    rows, columns = array.shape
    if 2 not in (rows, columns):
        _require_square(rows, columns, name)
        symmetric = bool((array == array.T).all())
        return Arcs(np.argwhere(array != 0), np.arange(rows), not symmetric)
    pairs = array if columns == 2 else array.T
    if pairs.dtype.kind not in "iu":
        raise DataError(f"{name}: edges are {array.dtype}, not integers", "give edges of integers")
    if pairs.size and int(pairs.max()) > np.iinfo(np.int64).max:
        raise DataError(f"{name}: the id {int(pairs.max())} is 2^63 or more", "number the nodes from 0")
    names, numbers = np.unique(pairs.astype(np.int64), return_inverse=True)
    return Arcs(numbers.reshape(-1, 2), names, None)


def _require_square(rows: int, columns: int, name: str) -> None:
    if rows != columns:
        raise DataError(
            f"{name} is {rows:,} x {columns:,}, and an adjacency matrix is square",
            "give a bipartite table B as the blocks [[0, B], [B transposed, 0]], or as an edge list",
        )
