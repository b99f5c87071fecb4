"""Files of graphs: their kind, and their content, unpacked and within the memory of the machine."""

from __future__ import annotations

import bz2
import gzip
import os
import zlib
from pathlib import Path
from typing import IO, cast

from gancore.data import open_regular, total_memory_bytes
from gancore.errors import DataError
from gancore.text import escape_unprintable, format_size
from gancore_graph.config import Format

KINDS: dict[str, Format] = {
    ".edges": "edges",
    ".edgelist": "edges",
    ".txt": "edges",
    ".tsv": "edges",
    ".csv": "edges",
    ".npz": "npz",
    ".mtx": "mtx",
    ".graphml": "graphml",
    ".xml": "graphml",
}
"""Suffixes that are read, and how; a ``.csv`` may hold a matrix, which its columns show."""
PACKED = (".gz", ".bz2")
PART_BYTES = 1 << 22
BYTES_OF_MEMORY = 24
"""A byte of a file takes so many of memory, at most, while it is read."""


def file_kind(path: Path) -> Format | None:
    """How a file is read, by its suffix; one of :data:`PACKED` is ignored. None: it is no graph."""
    name = path.name.lower()
    for suffix in PACKED:
        name = name.removesuffix(suffix)
    return KINDS.get(os.path.splitext(name)[1])


def is_table(path: Path) -> bool:
    """Whether a file is a ``.csv``, which may hold edges or a matrix."""
    return ".csv" in path.name.lower()


def read_content(path: Path) -> bytes:
    """The bytes of a regular file, unpacked if its first bytes are those of gzip or bzip2.

    Raises:
        DataError: it cannot be read, is empty, damaged or too large.
    """
    shown, most = escape_unprintable(path.name), total_memory_bytes() // BYTES_OF_MEMORY
    try:
        with os.fdopen(open_regular(path.resolve(), os.O_RDONLY), "rb") as file:
            head = file.read(3)
            file.seek(0)
            if head.startswith(b"\x1f\x8b"):
                with gzip.open(file) as unpacked:
                    content = _read(cast(IO[bytes], unpacked), most)
            elif head == b"BZh":
                with bz2.open(file) as unpacked:
                    content = _read(unpacked, most)
            else:
                content = _read(file, most)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise DataError(f"{shown}: its packed data are damaged or cut short", "copy it again") from None
    except OSError as error:
        raise DataError(
            f"{shown} cannot be read: {error.strerror or error}", "give a file of a graph"
        ) from None
    if not content:
        raise DataError(f"{shown} is empty", "give a graph with edges")
    if len(content) > most:
        raise DataError(
            f"{shown} holds more than {format_size(most)}, which this machine cannot prepare",
            "give a part of the graph",
        )
    return content


def _read(file: IO[bytes], most: int) -> bytes:
    """All of a file, or a little more than ``most`` bytes, whose memory is taken as they come."""
    parts: list[bytes] = []
    size = 0
    while size <= most and (part := file.read(PART_BYTES)):
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def decode_text(content: bytes, name: str) -> str:
    """UTF-8 with or without a byte order mark, or UTF-16 with one. Raises DataError."""
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(
            f"{name} is not UTF-8: byte {error.start:,} in line {line:,}",
            "convert it: iconv -f latin1 -t utf-8 FILE > NEW",
        ) from None
    if "\0" in text:
        raise DataError(f"{name} is binary, no text", f"give one of {', '.join(KINDS)}")
    return text
