"""Examples in one npy file: reading the file, finding equal rows, and splitting by content."""

from __future__ import annotations

import lzma
import math
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gancore.data.splits import Split
from gancore.errors import DataError
from gancore.random import Key, evaluation_key

MAX_DUPLICATE_SHARE = 0.1
"""If a larger share of the rows is repeated, the data are discrete: equal rows are then not duplicates."""
CHUNK_VALUES = 1 << 22
"""The number of values that are processed at a time."""

ARRAY_READ_ERRORS: tuple[type[Exception], ...] = (
    OSError,
    ValueError,
    KeyError,  # an array is missing
    EOFError,
    MemoryError,  # the header declares more than there is
    RuntimeError,  # encrypted; NotImplementedError: an unknown compression
    SyntaxError,  # numpy evaluates headers as literals of Python
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)
"""What numpy raises for npy and npz files that are damaged, or hold objects."""


def read_npy(path: Path, fix: str) -> NDArray[Any]:
    """Read the array of an npy file; nothing is unpickled. ``fix`` is the fix of every error.

    Raises:
        DataError: the file is not an npy file, is truncated, or cannot be read.
    """
    if path.is_dir() or path.suffix != ".npy":
        raise DataError(f"{path} is not an npy file; this domain reads npy files only", fix)
    try:
        with path.open("rb") as file:
            declared = _declared_bytes(file)
            actual = path.stat().st_size - file.tell()
        if declared > actual:
            raise DataError(
                f"{path} is truncated or damaged: {actual:,} of the {declared:,} bytes that it declares",
                "write the file again",
            )
        array: NDArray[Any] = np.load(path, allow_pickle=False)
    except ARRAY_READ_ERRORS as error:
        raise DataError(f"{path} cannot be read: {' '.join(str(error).split())}", fix) from None
    return array


def _declared_bytes(file: IO[bytes]) -> int:
    """The number of bytes of the array that the header declares; 0 for objects, which are not read."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return 0 if dtype.hasobject else math.prod(shape) * dtype.itemsize


def distinct_rows(rows: Tensor) -> Tensor:
    """Number the distinct contents of rows (n, d) in order of first appearance; the number of each row, (n,).

    Rows are equal if their 64-bit sums are equal: sums of the bits of their float32 values times odd factors.
    The probability that any two different rows have equal sums is about n^2 / 2^65.
    """
    draws = evaluation_key("splits", "equal rows").integers(1 << 62, rows.shape[1])
    factors = 2 * draws.numpy().astype(np.uint64) + 1
    sums = np.empty(len(rows), dtype=np.uint64)
    step = max(1, CHUNK_VALUES // rows.shape[1])
    for begin in range(0, len(rows), step):
        bits = (rows[begin : begin + step].numpy() + np.float32(0)).view(
            np.uint32
        )  # adding 0 turns -0 into 0
        sums[begin : begin + step] = ((bits ^ bits >> 16).astype(np.uint64) * factors).sum(axis=1)
    _, first, content = np.unique(sums, return_index=True, return_inverse=True)
    return torch.from_numpy(first.argsort().argsort()[content])


def keeps_together(content: Tensor) -> bool:
    """Whether equal rows must be in one split, because few are repeated.

    ``content``: :func:`distinct_rows`.
    """
    return len(content) - 1 - int(content.max()) <= MAX_DUPLICATE_SHARE * len(content)


def split_rows(content: Tensor, key: Key, most_held_out: int) -> dict[Split, Tensor]:
    """The indices of the rows of each split. Valid and test get a tenth each, at most ``most_held_out`` rows.

    Rows with equal ``content`` (n,), which is numbered from 0, are in one split. ``key`` draws the order.
    """
    count = int(content.max()) + 1
    position = key.permutation(count).argsort()[content]  # (n)
    order = position.argsort(stable=True)
    held_out = max(1, min(most_held_out, count // 10))
    ends = torch.searchsorted(position[order], torch.tensor([held_out, 2 * held_out]))
    valid, test, train = order.tensor_split(ends)
    return {"train": train, "valid": valid, "test": test}
