"""Items of different lengths, concatenated in one memory-mapped file of integers.

A large array needs memory for its lengths only: the operating system caches pages of the file. A small array
can be copied to an accelerator, as integers.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gancore.errors import DataError

FORMAT = 1
TYPES = ("uint8", "int8", "int16", "int32", "int64")
_VALUES, _LENGTHS, _MANIFEST = "values.bin", "lengths.npy", "manifest.json"


@dataclass(frozen=True)
class PackedArray:
    """All items as ``values`` (total,), with their ``offsets`` and ``lengths``, (items,) int64 on the CPU."""

    values: Tensor
    offsets: Tensor
    lengths: Tensor
    _copies: dict[torch.device, Tensor] = field(default_factory=dict, repr=False, compare=False)
    """The values on accelerators, shared by all slices of an array."""

    @staticmethod
    def create(folder: Path, dtype: str = "int16") -> PackedArrayWriter:
        """A writer into ``folder``, which is a valid array only after the writer is closed."""
        return PackedArrayWriter(folder, dtype)

    @classmethod
    def open(cls, folder: Path) -> PackedArray:
        """Map a finished array.

        Raises:
            DataError: the array is missing, unfinished, truncated or of another format.
        """
        try:
            manifest = json.loads((folder / _MANIFEST).read_text())
            lengths = torch.from_numpy(np.load(folder / _LENGTHS, allow_pickle=False).astype(np.int64))
            size = int(manifest["values"]) * np.dtype(manifest["dtype"]).itemsize
            intact = manifest["format"] == FORMAT and manifest["dtype"] in TYPES
            intact &= len(lengths) == manifest["items"] and int(lengths.sum()) == manifest["values"]
            intact &= (folder / _VALUES).stat().st_size == size
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"the packed array {folder} cannot be read: {error}", "delete it") from None
        if not intact:
            raise DataError(f"the packed array {folder} is damaged", "delete it")
        values = _memory_map(folder / _VALUES, manifest["dtype"], manifest["values"])
        return cls(values, lengths.cumsum(0) - lengths, lengths)

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def size_mb(self) -> float:
        return self.values.numel() * self.values.element_size() / 2**20

    def to(self, device: torch.device | str) -> PackedArray:
        """The array on ``device``. On the CPU it stays memory-mapped."""
        device = torch.device(device)
        if device.type == self.values.device.type:
            return self
        if device not in self._copies:
            self._copies[device] = self.values.to(device)
        return replace(self, values=self._copies[device])

    def slices(self, items: Tensor, begins: Tensor, lengths: Tensor) -> PackedArray:
        """An array of slices: of each item, ``lengths`` values from ``begins`` on. Nothing is copied.

        All arguments are (n,) int64 on the CPU. A window never reads beyond the end of its slice.
        """
        return replace(self, offsets=self.offsets[items] + begins, lengths=lengths)

    def windows(self, items: Tensor, starts: Tensor, length: int, device: torch.device | str) -> Tensor:
        """``length`` values of each item from its start on, (n, length); zeros beyond the end of the item.

        ``items`` and ``starts`` are (n,) int64 on the CPU, so that nothing waits for an accelerator.
        """
        begin = self.offsets[items] + starts
        valid_length = (self.lengths[items] - starts).clamp_(0, length)
        rows = self._rows(begin, length)
        _zero_padding(rows, valid_length)
        return rows.to(device, non_blocking=True)

    def _rows(self, begin: Tensor, length: int) -> Tensor:
        home, total = self.values.device, self.values.numel()
        if length <= total and max(begin.tolist(), default=0) <= total - length:
            # A strided view with overlapping rows gathers the windows without a table of positions.
            return self.values.unfold(0, length, 1).index_select(0, begin.to(home, non_blocking=True))
        positions = begin[:, None] + torch.arange(length)
        return self.values[positions.clamp_(max=total - 1).to(home)]


def _zero_padding(rows: Tensor, valid_length: Tensor) -> None:
    """Set each row (n, length) to zero from its ``valid_length`` (n,) on, in place."""
    if rows.device.type == "cpu":  # here a mask of all positions takes ten times as long
        for row, count in zip(rows, valid_length.tolist(), strict=True):
            row[count:] = 0
        return
    valid_length = valid_length.to(rows.device, non_blocking=True)
    rows.masked_fill_(torch.arange(rows.shape[1], device=rows.device) >= valid_length[:, None], 0)


def _memory_map(path: Path, dtype: str, count: int) -> Tensor:
    if not count:
        return torch.empty(0, dtype=getattr(torch, dtype))
    values = np.memmap(path, dtype=np.dtype(dtype).newbyteorder("<"), mode="r", shape=(count,))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not writable.*")
        return torch.from_numpy(values)


class PackedArrayWriter:
    """Writes a packed array. If the ``with`` block raises an exception, there is no valid array."""

    def __init__(self, folder: Path, dtype: str) -> None:
        if dtype not in TYPES:
            raise ValueError(f"a packed array has integers of {TYPES}, not {dtype}")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _MANIFEST).unlink(missing_ok=True)
        self._folder, self._dtype = folder, dtype
        self._file = (folder / _VALUES).open("wb")
        self._lengths: list[int] = []
        self._total = 0

    def append(self, parts: NDArray[np.integer] | Iterable[NDArray[np.integer]]) -> int:
        """Append one item, whole or in parts, and return its index.

        If the parts raise, it is not appended.
        """
        length = 0
        little = np.dtype(self._dtype).newbyteorder("<")
        try:
            for part in [parts] if isinstance(parts, np.ndarray) else parts:
                self._file.write(np.ascontiguousarray(part, dtype=little).data)
                length += part.size
        except BaseException:
            self._file.truncate(self._total * little.itemsize)
            self._file.seek(0, os.SEEK_END)
            raise
        self._lengths.append(length)
        self._total += length
        return len(self._lengths) - 1

    def close(self) -> None:
        """Make the array valid: sync the data to disk, then write the manifest."""
        _sync(self._file)
        self._file.close()
        with (self._folder / _LENGTHS).open("wb") as file:
            np.save(file, np.asarray(self._lengths, dtype=np.int64))
            _sync(file)
        manifest = {
            "format": FORMAT,
            "dtype": self._dtype,
            "items": len(self._lengths),
            "values": self._total,
        }
        aside = self._folder / f"{_MANIFEST}.part"
        aside.write_text(json.dumps(manifest))
        aside.replace(self._folder / _MANIFEST)

    def __enter__(self) -> PackedArrayWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._file.close()


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())
