"""What an evaluation need not compute twice: bytes by key in the cache folder, whole or not there at all."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from torch import Tensor

from gancore.errors import GancoreError
from gancore.files import atomic_write, used
from gancore.models.tensors import decode_tensors, encode_tensors
from gancore.trees import Tree, leaves

SEAL_BYTES = 32
"""Each file begins with the sha256 of the rest: what was torn or altered is not there."""


def digest_of(*words: Any) -> str:
    """sha256, hexadecimal, of JSON values."""
    return hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()


def content_of(tree: Tree) -> str:
    """sha256, hexadecimal, of all tensors of a tree: their types, shapes and bytes."""
    content = hashlib.sha256()
    for leaf in leaves(tree):
        content.update(repr((str(leaf.dtype), tuple(leaf.shape))).encode())
        content.update(leaf.detach().cpu().contiguous().numpy().data)
    return content.hexdigest()


@cache
def code_of(factory: str) -> str:
    """sha256 over all Python files of the package that a factory lives in: what it makes may have changed.

    Empty where there are none, as of the running program. What cannot be read is no code that runs: editors
    leave links to nowhere beside a file.
    """
    top = factory.partition(":")[0].partition(".")[0]
    try:
        spec = importlib.util.find_spec(top)
    except ValueError:  # a module without a spec
        return ""
    places = map(Path, (spec.submodule_search_locations if spec else None) or ())
    files = sorted(file for place in places for file in place.rglob("*.py") if file.is_file())
    if not files and spec and spec.has_location and spec.origin:
        files = [Path(spec.origin)]
    each = []
    for file in files:
        with contextlib.suppress(OSError):
            each.append(hashlib.sha256(file.read_bytes()).digest())
    return hashlib.sha256(b"".join(each)).hexdigest()


@dataclass
class Store:
    """Entries by key, made once. A folder that cannot be written costs time, and is told of once."""

    folder: Path
    announce: Callable[[str], None] = field(default=lambda line: None)
    complained: bool = False

    def tensors(self, key: str, make: Callable[[], Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        """The tensors of this key: read, or else made and written.

        Those just made are given as they would be read, contiguous: a product of matrices may round otherwise
        where they lie otherwise in memory.
        """
        found = self.read(key)
        if found is None:
            found = encode_tensors(make(), key)
            self.write(key, found)
        return decode_tensors(found, key)

    def json(self, key: str) -> Any:
        """The JSON value of this key; None: there is none."""
        found = self.read(key)
        return None if found is None else json.loads(found)

    def put_json(self, key: str, value: Any) -> None:
        self.write(key, json.dumps(value).encode())

    def read(self, key: str) -> bytes | None:
        try:
            data = self._file(key).read_bytes()
        except OSError:
            return None
        used(self._file(key))
        seal, content = data[:SEAL_BYTES], data[SEAL_BYTES:]
        return content if hashlib.sha256(content).digest() == seal else None

    def write(self, key: str, content: bytes) -> None:
        try:
            self._file(key).parent.mkdir(parents=True, exist_ok=True)
            atomic_write(self._file(key), hashlib.sha256(content).digest() + content)
        except (OSError, GancoreError) as error:
            if not self.complained:
                self.complained = True
                self.announce(f"nothing is kept for the next evaluation: {error}")

    def _file(self, key: str) -> Path:
        return self.folder / key[:2] / key
