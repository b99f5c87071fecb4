"""The cache of evaluations: bytes by key in a folder. An entry is complete or absent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from gancore.errors import GancoreError
from gancore.files import atomic_write, mark_used
from gancore.models.tensors import decode_tensors, encode_tensors

CHECKSUM_BYTES = 32
"""Each file starts with the sha256 of the rest: a truncated or changed file counts as absent."""


@dataclass
class DiskCache:
    """A cache of entries by key.

    If its folder is not writable, entries are computed again and one warning is printed.
    """

    folder: Path
    announce: Callable[[str], None] = field(default=lambda line: None)
    warned: bool = False

    def tensors(self, key: str, make: Callable[[], Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        """Read the tensors of this key; if there are none, compute them with ``make`` and write them.

        Computed tensors are made contiguous, as tensors that are read: the rounding of a matrix product may
        depend on the memory layout.
        """
        content = self._read(key)
        if content is None:
            content = encode_tensors(make(), key)
            self._write(key, content)
        return decode_tensors(content, key)

    def read_json(self, key: str) -> Any:
        """The JSON value of this key; None if there is none."""
        content = self._read(key)
        return None if content is None else json.loads(content)

    def write_json(self, key: str, value: Any) -> None:
        self._write(key, json.dumps(value).encode())

    def _read(self, key: str) -> bytes | None:
        try:
            data = self._file(key).read_bytes()
        except OSError:
            return None
        mark_used(self._file(key))
        checksum, content = data[:CHECKSUM_BYTES], data[CHECKSUM_BYTES:]
        return content if hashlib.sha256(content).digest() == checksum else None

    def _write(self, key: str, content: bytes) -> None:
        try:
            self._file(key).parent.mkdir(parents=True, exist_ok=True)
            atomic_write(self._file(key), hashlib.sha256(content).digest() + content)
        except (OSError, GancoreError) as error:
            if not self.warned:
                self.warned = True
                self.announce(f"results are not cached for the next evaluation: {error}")

    def _file(self, key: str) -> Path:
        return self.folder / key[:2] / key
