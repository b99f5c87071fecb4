"""What a shard has: the names, places and labels of its items, found once and cached until it changes."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from gancore.data.cache import cache_folder
from gancore.data.data_files import DataFile
from gancore.data.inventory import SkippedItem
from gancore.errors import GancoreError
from gancore.files import atomic_write, mark_used

_FORMAT = 1


@dataclass(frozen=True)
class ShardIndex:
    """The items of a shard by column.

    ``places``: the offset of each member of a tar file, the row of a table; ``sizes``: bytes of members,
    empty for a table. ``labels``: by the name of their column, a label or None for each item.
    """

    names: list[str] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    labels: dict[str, list[str | None]] = field(default_factory=dict)
    refused: list[SkippedItem] = field(default_factory=list)


def open_index(
    file: DataFile, settings: Sequence[str | None], build: Callable[[], ShardIndex]
) -> tuple[ShardIndex, list[int]]:
    """The index of ``file``, and the ``stat_key`` of the file that it describes.

    ``settings`` are all that ``build`` depends on besides the file. What ``build`` raises is raised.
    """
    stat_key = file.stat_key()
    path = _index_path(file, settings)
    if kept := _read(path, stat_key):
        mark_used(path)
        return kept, stat_key
    index = build()
    content = json.dumps({"format": _FORMAT, "stat_key": stat_key, "index": asdict(index)})
    with contextlib.suppress(OSError, GancoreError):  # the cache only saves time
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, content)
    return index, stat_key


def _index_path(file: DataFile, settings: Sequence[str | None]) -> Path:
    key = json.dumps([file.address, *settings]).encode()
    return cache_folder() / "shards" / "inventories" / f"{hashlib.sha256(key).hexdigest()[:16]}.json"


def _read(path: Path, stat_key: list[int]) -> ShardIndex | None:
    try:
        content = json.loads(path.read_text())
        if content["format"] != _FORMAT or content["stat_key"] != stat_key:
            return None
        index = ShardIndex(**content["index"])
        known: dict[str | None, str | None] = {}  # equal labels are one object
        for name, values in index.labels.items():
            index.labels[name] = [known.setdefault(label, label) for label in values]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    counts = [len(index.places), *map(len, index.labels.values())]
    return index if set(counts) == {len(index.names)} else None
